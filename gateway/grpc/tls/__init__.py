"""TLS of the port, and the port itself."""
