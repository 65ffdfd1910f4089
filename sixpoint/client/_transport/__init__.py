"""How calls reach a gateway: the channel, with TLS or without, and the drivers that make calls and trace them."""
