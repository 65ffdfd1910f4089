"""The dialect of MONAI Label (0.8.5), as 3D Slicer, MITK and its Python client speak it."""

from gateway.http.monai_label.door import monai_label_door

__all__ = ["monai_label_door"]
