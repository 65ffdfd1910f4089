"""Datasets and annotations."""
