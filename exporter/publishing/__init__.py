"""Prepare and publish versions of models, switch between them, compare them and tune them."""
