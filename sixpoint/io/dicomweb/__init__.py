"""DICOMweb: a series from a server, read as a folder with its files is, and files stored there."""

from sixpoint.io.dicomweb.address import DicomwebAddress, check_server_url, image_name, is_dicomweb
from sixpoint.io.dicomweb.credentials import authorization, authorization_from_environment

# The rest is in modules of its own: it needs the extra sixpoint[dicomweb].
__all__ = [
    "DicomwebAddress",
    "authorization",
    "authorization_from_environment",
    "check_server_url",
    "image_name",
    "is_dicomweb",
]
