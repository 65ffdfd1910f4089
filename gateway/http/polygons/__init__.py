"""Outlines of masks as polygons, and masks of polygons; the two programs for them are run in processes of their own."""
