"""Sessions and the history of their segments."""
