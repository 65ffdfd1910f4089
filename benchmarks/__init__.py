"""Measurements: accuracy on labelled images, and speed as ratios within one run."""
