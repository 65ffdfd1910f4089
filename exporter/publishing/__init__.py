"""Publish versions, switch between them, compare and tune them."""
