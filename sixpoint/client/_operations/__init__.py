"""The operations of the client, written once for both twins."""
