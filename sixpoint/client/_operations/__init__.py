"""The operations of clients and sessions: which calls they make, in which order, and how they read the responses."""
