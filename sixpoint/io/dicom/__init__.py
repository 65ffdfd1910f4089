"""DICOM: series of slices, files of many frames, and segmentations, each checked before it is believed."""

from sixpoint.io.dicom.images import DicomImage, DicomOrigin, read_dicom

__all__ = ["DicomImage", "DicomOrigin", "read_dicom"]
