"""The dialect of NVIDIA Clara's AIAA (v1), as its Python and C++ clients, MITK, 3D Slicer and OHIF speak it."""

from gateway.http.aiaa.door import aiaa_door

__all__ = ["aiaa_door"]
