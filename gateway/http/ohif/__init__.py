"""OHIF: the files of the viewer, from a folder, as a page of the gateway's own."""

from gateway.http.ohif.door import ohif_door

__all__ = ["ohif_door"]
