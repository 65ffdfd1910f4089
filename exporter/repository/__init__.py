"""Triton's model repository: its layout, files, lock and checks."""
