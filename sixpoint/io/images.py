"""Read image files, and refuse those that ITK would misread without an error."""

from __future__ import annotations

import tempfile
import zlib
from pathlib import Path

import SimpleITK as sitk

from sixpoint.errors import VolumeError
from sixpoint.io.decompression import decompress
from sixpoint.io.nifti import read_nifti

__all__ = ["IMAGE_SUFFIXES", "is_dicom", "itk_message", "read_image"]

IMAGE_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
"""Suffixes of the files that can be read and written."""

_DICOM_PREAMBLE_BYTES = 132


def read_image(source: Path) -> sitk.Image:
    """Read NIfTI, NRRD or MetaImage.

    Raises:
        VolumeError: When the file is missing, empty, damaged or of another kind, or a NIfTI header gives two places.
    """
    if not source.exists():
        raise VolumeError(f"no such file or folder: {source}")
    if not source.stat().st_size:
        raise VolumeError(f"{source} is empty")
    if not source.name.lower().endswith(IMAGE_SUFFIXES):
        raise VolumeError(
            f"{source} is of no known kind: expected {', '.join(IMAGE_SUFFIXES)}, a DICOM file, or a folder with "
            "a DICOM series"
        )
    try:
        nifti = source.name.lower().endswith((".nii", ".nii.gz"))
        return read_nifti(source) if nifti else _read_unpacked(source)
    except zlib.error as error:
        raise VolumeError(
            f"{source} cannot be read as an image: its compressed voxels are damaged; copy it anew from its source"
        ) from error
    except (RuntimeError, OSError, EOFError) as error:
        raise VolumeError(f"{source} cannot be read as an image: {itk_message(error)}") from error


def is_dicom(source: Path) -> bool:
    """Whether a path is a folder, or a file with DICOM's preamble."""
    if source.is_dir():
        return True
    if not source.is_file() or source.name.lower().endswith(IMAGE_SUFFIXES):
        return False
    try:
        with source.open("rb") as file:
            return file.read(_DICOM_PREAMBLE_BYTES).endswith(b"DICM")
    except OSError:
        return False


def itk_message(error: Exception) -> str:
    """The line of an ITK error that says what happened; "Reason" is the system's last error, whatever it was."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and not line.startswith("Reason:")]
    return lines[-1].removeprefix("ITK ERROR: ") if lines else type(error).__name__


def _read_unpacked(source: Path) -> sitk.Image:
    """Read MetaImage or NRRD; compressed files are decompressed to a temporary file first."""
    with tempfile.TemporaryDirectory(prefix="sixpoint-") as folder:
        plain = Path(folder) / ("image.mha" if source.name.lower().endswith((".mha", ".mhd")) else "image.nrrd")
        return sitk.ReadImage(str(plain if decompress(source, plain) else source))
