"""NIfTI: read and write images, and where their headers place them."""

from sixpoint.io.nifti.header import NiftiPlacement
from sixpoint.io.nifti.reader import nifti_byte_count, read_nifti
from sixpoint.io.nifti.writer import write_nifti

__all__ = ["NiftiPlacement", "nifti_byte_count", "read_nifti", "write_nifti"]
