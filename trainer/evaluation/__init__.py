"""Evaluate a served model on labelled images."""
