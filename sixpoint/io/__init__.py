"""Files: images in the formats that ITK and nibabel read, files that appear whole or not at all, object stores.

``atomic_files`` and ``object_store`` are imported by their own names: the latter needs the gateway's or the exporter's
dependencies.
"""

from sixpoint.io.images import IMAGE_SUFFIXES, itk_message, read_image

__all__ = ["IMAGE_SUFFIXES", "itk_message", "read_image"]
