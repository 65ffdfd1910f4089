"""Segment a whole image with a network that needs no prompts."""
