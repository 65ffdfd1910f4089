"""Bodies of requests: read within limits, and spooled to files."""
