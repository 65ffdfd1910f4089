"""Images of containers, and the scripts that prepare them."""
