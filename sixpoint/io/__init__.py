"""Files: images in the formats that ITK and nibabel read, files that appear whole or not at all, object stores.

``dicom``, ``atomic_files`` and ``object_store`` are imported by their own names: pydicom takes a while to import, and
object stores need the gateway's or the exporter's dependencies.
"""

from sixpoint.io.images import IMAGE_SUFFIXES, ReadImage, is_dicom, itk_message, read_image
from sixpoint.io.nifti_header import NiftiPlacement
from sixpoint.io.nifti_writer import write_nifti

__all__ = [
    "IMAGE_SUFFIXES",
    "NiftiPlacement",
    "ReadImage",
    "is_dicom",
    "itk_message",
    "read_image",
    "write_nifti",
]
