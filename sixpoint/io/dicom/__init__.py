"""DICOM: series of slices, files of many frames, and segmentations, each checked before it is believed."""

from sixpoint.io.dicom.images import read_dicom

__all__ = ["read_dicom"]
