"""nnInteractive's remote protocol (2.5, 2.6), as its client for napari and 3D Slicer speaks it."""

from gateway.http.nninteractive.door import nninteractive_door

__all__ = ["nninteractive_door"]
