"""DICOM: series of slices, files of many frames, and segmentations, each checked before it is believed."""

from sixpoint.io.dicom.images import DicomImage, read_dicom

__all__ = ["DicomImage", "read_dicom"]
