"""Read image files, and refuse those that ITK would misread without an error."""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import SimpleITK as sitk

from sixpoint.errors import VolumeError
from sixpoint.io.decompression import decompress
from sixpoint.io.nifti import read_nifti
from sixpoint.io.nifti_header import NiftiPlacement
from sixpoint.io.text_headers import check_metaimage, check_nrrd

__all__ = ["IMAGE_SUFFIXES", "ReadImage", "is_dicom", "itk_message", "read_image"]

IMAGE_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
"""Suffixes of the files that can be read and written."""

_DICOM_PREAMBLE_BYTES = 132


@dataclass(frozen=True)
class ReadImage:
    """An image from a file.

    Attributes:
        image: Voxels and geometry, in mm.
        nifti: Fields that place the image in its NIfTI header; None for other formats.
        notes: What a person should know about the image, one sentence each.
    """

    image: sitk.Image
    nifti: NiftiPlacement | None = None
    notes: tuple[str, ...] = ()


def read_image(source: Path) -> ReadImage:
    """Read NIfTI, NRRD or MetaImage.

    Raises:
        VolumeError: When the file is missing, empty, damaged or of another kind, or its header lacks or contradicts
            what places the image.
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
        with _quiet_itk():
            nifti = source.name.lower().endswith((".nii", ".nii.gz"))
            return ReadImage(*read_nifti(source)) if nifti else _read_text_format(source)
    except zlib.error as error:
        raise VolumeError(
            f"{source} cannot be read as an image: its compressed voxels are damaged; copy it anew from its source"
        ) from error
    except EOFError as error:
        raise VolumeError(f"{source} cannot be read as an image: {error}") from error
    except OSError as error:
        raise VolumeError(f"{source} cannot be read as an image: {error.strerror or 'it is damaged'}") from error
    except RuntimeError as error:
        # ITK's own words name its classes and temporary files.
        raise VolumeError(
            f"{source} cannot be read as an image: its header is damaged, or does not fit its voxels; copy or download "
            "it again, or write it again with the program that made it"
        ) from error


@contextmanager
def _quiet_itk() -> Iterator[None]:
    """Keep ITK's warnings off stderr: they name its source files and temporary files."""
    display = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(display)


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


def _read_text_format(source: Path) -> ReadImage:
    """Read MetaImage or NRRD; compressed files are decompressed to a temporary file first."""
    metaimage = source.name.lower().endswith((".mha", ".mhd"))
    header = (check_metaimage if metaimage else check_nrrd)(source)
    with tempfile.TemporaryDirectory(prefix="sixpoint-") as folder:
        plain = Path(folder) / ("image.mha" if metaimage else "image.nrrd")
        unpacked = decompress(source, plain)
        data = plain if unpacked else header.data
        # Before ITK allocates what a damaged header announces. A voxel takes a byte or more, as text too.
        if data and data.stat().st_size < header.voxel_count:
            raise VolumeError(
                f"{source} cannot be read as an image: its header announces {header.voxel_count} voxels, but the data "
                "are fewer; copy or download it again"
            )
        image = sitk.ReadImage(str(plain if unpacked else source))
    if header.unit_mm != 1:
        image.SetSpacing([value * header.unit_mm for value in image.GetSpacing()])
        image.SetOrigin([value * header.unit_mm for value in image.GetOrigin()])
    return ReadImage(image, notes=header.notes)
