"""Labelled images, their split, and the samples made of them."""
