"""Start the servers that are measured, and read their memory."""
