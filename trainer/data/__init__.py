"""Labelled images, their split into training and validation, and the samples made of them."""
