"""Measure a served model against labelled images."""
