"""Files: images and names of labels, files that appear whole or not at all, object stores, the key of a local Triton.

``dicom``, ``label_names``, ``atomic_files``, ``object_store``, ``secret_files`` and ``triton_key`` are imported by
their own names: pydicom takes a while to import, and object stores need dependencies of gateway or exporter.
"""

from sixpoint.io.images import IMAGE_SUFFIXES, ReadImage, is_dicom, itk_message, read_image
from sixpoint.io.nifti import NiftiPlacement, nifti_byte_count, write_nifti

__all__ = [
    "IMAGE_SUFFIXES",
    "NiftiPlacement",
    "ReadImage",
    "is_dicom",
    "itk_message",
    "nifti_byte_count",
    "read_image",
    "write_nifti",
]
