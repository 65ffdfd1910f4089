"""Synthetic scans with known labels."""
