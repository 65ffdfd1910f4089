"""Triton: run its models, watch which ones it serves, and run Triton itself on this machine."""
