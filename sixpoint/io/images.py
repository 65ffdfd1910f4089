"""Read image files, and refuse those that ITK would misread without an error."""

from __future__ import annotations

import errno
import os
import stat
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sixpoint._typing import Array, Vector
from sixpoint.errors import VolumeError
from sixpoint.geometry import Geometry
from sixpoint.io.decompression import decompress
from sixpoint.io.metaimage import read_metaimage
from sixpoint.io.nifti import NiftiPlacement, read_nifti
from sixpoint.io.spacing import check_typed_spacing
from sixpoint.io.text_headers import check_nrrd

if TYPE_CHECKING:
    import SimpleITK as sitk

__all__ = ["IMAGE_SUFFIXES", "ReadImage", "is_dicom", "is_zip", "itk_message", "read_image"]

IMAGE_SUFFIXES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
"""Suffixes of the files that can be read and written."""

_DICOM_PREAMBLE_BYTES = 132
_ZIP_MAGIC = b"PK\x03\x04"
# From a mouse's organ to a whole body: nearly all files that name no unit are in mm, which is worth a word elsewhere.
_PLAUSIBLE_MM = (10.0, 3000.0)


@dataclass(frozen=True)
class ReadImage:
    """An image from a file.

    Attributes:
        content: Image of ITK, in mm, or voxels [z, y, x] with their geometry.
        nifti: Fields that place the image in its NIfTI header; None for other formats.
        notes: What a person should know about the image, one sentence each.
    """

    content: sitk.Image | tuple[Array, Geometry]
    nifti: NiftiPlacement | None = None
    notes: tuple[str, ...] = ()


def read_image(source: Path, *, spacing: Vector | None = None) -> ReadImage:
    """Read NIfTI, NRRD or MetaImage.

    Args:
        source: File to read.
        spacing: Spacing (x, y, z) in mm from a person, for a header that lacks it.

    Raises:
        VolumeError: When the file is missing, empty, damaged or of another kind, its header lacks or contradicts what
            places the image, or contradicts ``spacing``.
    """
    status = _stat(source)
    if status is None:
        raise VolumeError(f"no such file or folder: {source}")
    # To read a pipe that nobody writes to would never end.
    if not stat.S_ISREG(status.st_mode):
        raise VolumeError(f"{source} is a device or a pipe, expected a file; write the image to a file first")
    if not status.st_size:
        raise VolumeError(f"{source} is empty")
    if not source.name.lower().endswith(IMAGE_SUFFIXES):
        raise VolumeError(
            f"{source} is of no known kind: expected {', '.join(IMAGE_SUFFIXES)}, a DICOM file, or a folder or "
            "zip with a DICOM series"
        )
    try:
        with _quiet_itk():
            return _read_format(source, spacing)
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
    import SimpleITK as sitk

    display = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        yield
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(display)


def is_dicom(source: Path) -> bool:
    """Whether a path is a folder, a zip, or a file with DICOM's preamble.

    Raises:
        VolumeError: The path cannot be looked at.
    """
    status = _stat(source)
    if status is None or stat.S_ISDIR(status.st_mode):
        return status is not None
    if not stat.S_ISREG(status.st_mode) or source.name.lower().endswith(IMAGE_SUFFIXES):
        return False
    if is_zip(source):
        return True
    try:
        with source.open("rb") as file:
            return file.read(_DICOM_PREAMBLE_BYTES).endswith(b"DICM")
    except OSError:
        return False


def is_zip(source: Path) -> bool:
    """Whether a path is a zip, by its name and its first bytes.

    Raises:
        VolumeError: The path cannot be looked at.
    """
    status = _stat(source)
    if status is None or not stat.S_ISREG(status.st_mode) or not source.name.lower().endswith(".zip"):
        return False
    try:
        with source.open("rb") as file:
            return file.read(len(_ZIP_MAGIC)) == _ZIP_MAGIC
    except OSError:
        return False


def _stat(source: Path) -> os.stat_result | None:
    """What the system says about a path; None where nothing is there.

    Raises:
        VolumeError: It does not say, for example for want of permission.
    """
    try:
        return source.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            return None
        raise VolumeError(f"{source} cannot be read: {error.strerror}") from error


def itk_message(error: Exception) -> str:
    """The line of an ITK error that says what happened; "Reason" is the system's last error, whatever it was."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and not line.startswith("Reason:")]
    return lines[-1].removeprefix("ITK ERROR: ") if lines else type(error).__name__


def _read_format(source: Path, spacing: Vector | None) -> ReadImage:
    """Read a file by the format of its suffix."""
    name = source.name.lower()
    content: sitk.Image | tuple[Array, Geometry]
    if name.endswith((".nii", ".nii.gz")):
        content, header = read_nifti(source, spacing=spacing)
        nifti, notes, names_unit = header.placement, header.notes, header.names_unit
    elif name.endswith((".mha", ".mhd")):
        nifti = None
        content, notes, names_unit = read_metaimage(source, spacing=spacing)
    else:
        nifti = None
        content, notes, names_unit = _read_nrrd(source, spacing=spacing)
    size, steps = (
        (content[1].size, content[1].spacing)
        if isinstance(content, tuple)
        else (content.GetSize(), content.GetSpacing())
    )
    length = max(count * step for count, step in zip(size, steps, strict=True))
    if not (names_unit or spacing or _PLAUSIBLE_MM[0] <= length <= _PLAUSIBLE_MM[1]):
        notes += (f"{source}: its header names no unit of length; taken as mm, the image is {length:.3g} mm long",)
    return ReadImage(content, nifti, notes)


def _read_nrrd(source: Path, *, spacing: Vector | None) -> tuple[sitk.Image, tuple[str, ...], bool]:
    """Read NRRD; compressed files are decompressed to a temporary file first."""
    import SimpleITK as sitk

    header = check_nrrd(source, spacing=spacing)
    with tempfile.TemporaryDirectory(prefix="sixpoint-") as folder:
        plain = Path(folder) / "image.nrrd"
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
    if header.typed_spacing:
        image.SetSpacing([*header.typed_spacing, *image.GetSpacing()[3:]])
    check_typed_spacing(image.GetSpacing()[:3], spacing, source)
    return image, header.notes, header.names_unit
