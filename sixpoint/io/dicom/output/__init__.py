"""DICOM objects that hold masks: SEG and RTSTRUCT, each belonging to the DICOM image that it was drawn on."""

from sixpoint.io.dicom.output.files import write_objects
from sixpoint.io.dicom.output.source import SourceImage, find_source, read_matching

__all__ = ["SourceImage", "find_source", "read_matching", "write_objects"]
