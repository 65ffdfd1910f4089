"""Triton model repositories in folders and object stores: layout, files, locks and checks."""
