"""Triton: calling it, following its models, running it locally."""
