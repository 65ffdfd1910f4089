"""Convert between sixpoint's types and the messages of sixpoint.v1."""
