"""What the API has: each file the operations on one kind of thing."""
