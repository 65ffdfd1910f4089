"""Images that models are measured on."""
