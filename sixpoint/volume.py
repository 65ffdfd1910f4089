"""A volume: voxels with their geometry."""

from __future__ import annotations

import gzip
import hashlib
import math
import os
import shutil
import tempfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sixpoint._typing import Array, Vector
from sixpoint.errors import VolumeError
from sixpoint.geometry import Geometry
from sixpoint.io import IMAGE_SUFFIXES, is_dicom, itk_message, read_image, write_nifti
from sixpoint.io.dicomweb import is_dicomweb
from sixpoint.io.itk_memory import own_voxels
from sixpoint.voxels import VOXEL_TYPES, check_voxels, supported_voxels, voxel_type_number

if TYPE_CHECKING:
    import SimpleITK as sitk

    from sixpoint.io.dicom import DicomImage

__all__ = [
    "VOXEL_TYPES",
    "ImageWarning",
    "Volume",
    "check_suffix",
    "check_voxels",
    "image_digest",
    "voxel_type_number",
    "write_image",
]


_NIFTI_HEADER_BYTES = 352
"""Size of a NIfTI header, with the four bytes that announce its extensions."""


def image_digest(geometry: Geometry, array: Array) -> str:
    """The digest of an image: SHA-256 in lower-case hex, as ``sixpoint.v1.Image.digest`` defines it.

    Args:
        geometry: Geometry of the voxels.
        array: C-contiguous voxels [z, y, x] of one of :data:`VOXEL_TYPES`.
    """
    digest = hashlib.sha256(geometry.packed())
    digest.update(bytes([voxel_type_number(array.dtype)]))
    digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


class ImageWarning(UserWarning):
    """A file lacks something that a person should know about: :attr:`Volume.notes`, where the SDK reads the file."""


@dataclass(frozen=True, eq=False, repr=False)
class Volume:
    """A 3D image with one number per voxel.

    Attributes:
        array: Voxels [z, y, x]: C-contiguous, little-endian, of one of :data:`VOXEL_TYPES`.
        geometry: Positions of the voxels in the patient.
        notes: What a person should know about the file that the image was read from, one sentence each: that it gives
            no position in the patient, or no unit.
        inverted_display: Whether viewers show large values dark (DICOM's MONOCHROME1). The voxels are as they are
            stored, and the digest does not depend on it; :func:`sixpoint.preview.render_preview` follows it.
        modality: How the image was acquired, in DICOM's terms: CT, MR, PT, US; empty if the file does not say it, as no
            NIfTI file does.

    Raises:
        VolumeError: The array is not 3D, not real, empty, or has another size than the geometry.
    """

    array: Array
    geometry: Geometry
    notes: tuple[str, ...] = ()
    inverted_display: bool = False
    modality: str = ""

    def __post_init__(self) -> None:
        if self.array.ndim != 3:
            raise VolumeError(f"a volume has three axes [z, y, x], got an array of shape {self.array.shape}")
        if self.array.shape != self.geometry.shape:
            raise VolumeError(f"the geometry says [z, y, x] = {self.geometry.shape}, the array is {self.array.shape}")
        object.__setattr__(self, "array", supported_voxels(self.array))

    def __repr__(self) -> str:
        spacing = "x".join(f"{value:.4g}" for value in self.geometry.spacing)
        return f"Volume({self.geometry.size_text}, {spacing} mm, {self.array.dtype})"

    @property
    def digest(self) -> str:
        """The image's digest, its name in the gateway."""
        return image_digest(self.geometry, self.array)

    @classmethod
    def read(
        cls,
        path: str | os.PathLike[str],
        *,
        spacing: Sequence[float] | None = None,
        series: int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Volume:
        """Read NIfTI, NRRD, MetaImage, a folder with a DICOM series, or a DICOM file of many frames.

        Args:
            path: File or folder; or ``dicomweb:URL#STUDY/SERIES`` for a series of a DICOMweb server.
            spacing: Spacing (x, y, z) in mm where the header lacks it; in DICOM, also of one slice, or of slices
                without positions.
            series: Number of the DICOM series, as the error about a folder with several lists them.
            progress: Function called while a DICOMweb server sends: with the number of files so far, and of all.

        Raises:
            VolumeError: When the file is missing, empty, damaged, of another kind, 2D, 4D, or not one number per voxel;
                its header lacks or contradicts what places the image; the slices of a DICOM image are not of one kind
                and evenly spaced, or lack what says so; or the header contradicts ``spacing``.
        """
        source = Path(path)
        # Their readers are imported here, since pydicom takes longer to import than most commands to run.
        if is_dicomweb(path):
            from sixpoint.io.dicomweb.reading import read_dicomweb

            spacing = _checked_spacing(spacing)
            return cls._of_dicom(read_dicomweb(path, spacing=spacing, series=series, progress=progress))
        if is_dicom(source):
            from sixpoint.io.dicom import read_dicom

            return cls._of_dicom(read_dicom(source, spacing=_checked_spacing(spacing), series=series))
        if series is not None:
            raise VolumeError(f"{source} is no DICOM image, so it has no series; leave the series out")
        read = read_image(source, spacing=_checked_spacing(spacing))
        try:
            content = read.content
            volume = cls(*content) if isinstance(content, tuple) else cls._of_sitk(content, voxels=own_voxels)
        except VolumeError as error:
            raise VolumeError(f"{source}: {error.message}") from error
        geometry = volume.geometry
        if read.nifti:
            geometry = replace(geometry, nifti=replace(read.nifti, grid=geometry.packed()))
        return cls(volume.array, geometry, read.notes)

    @classmethod
    def _of_dicom(cls, image: DicomImage) -> Volume:
        return cls(
            image.array, image.geometry, image.notes, inverted_display=image.inverted_display, modality=image.modality
        )

    @classmethod
    def from_sitk(cls, image: sitk.Image) -> Volume:
        """Copy a SimpleITK image.

        Raises:
            VolumeError: The image is 2D, 4D with several frames, or has several numbers per voxel.
        """
        import SimpleITK as sitk

        return cls._of_sitk(image, voxels=sitk.GetArrayFromImage)

    @classmethod
    def _of_sitk(cls, image: sitk.Image, *, voxels: Callable[[sitk.Image], Array]) -> Volume:
        dimension = image.GetDimension()
        if dimension == 4 and image.GetSize()[3] == 1:
            image = image[:, :, :, 0]
        elif dimension != 3:
            raise VolumeError(f"expected a 3D image, got a {dimension}D one of size {image.GetSize()}")
        if image.GetNumberOfComponentsPerPixel() != 1:
            raise VolumeError(f"expected one number per voxel, got {image.GetNumberOfComponentsPerPixel()}")
        geometry = Geometry(
            size=image.GetSize(),
            spacing=image.GetSpacing(),
            origin=image.GetOrigin(),
            direction=image.GetDirection(),
        )
        return cls(voxels(image), geometry)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the volume to a NIfTI, NRRD or MetaImage file, as the suffix says; compressed where the format can.

        Raises:
            VolumeError: The suffix is unknown, or the file cannot be written.
        """
        write_image(self.array, self.geometry, path)


def write_image(
    array: Array, geometry: Geometry, path: str | os.PathLike[str], *, fields: Mapping[str, str] | None = None
) -> None:
    """Write voxels [z, y, x] to a NIfTI, NRRD or MetaImage file; an old file stays until the new one is complete.

    Args:
        array: Voxels [z, y, x].
        geometry: Geometry of the voxels.
        path: File to write.
        fields: Further fields of a NRRD header, by key.

    Raises:
        VolumeError: The suffix is unknown, or the file cannot be written.
    """
    target = Path(path)
    check_suffix(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".sixpoint-", dir=target.parent, ignore_cleanup_errors=True) as folder:
            made = Path(folder) / target.name
            _write_new(array, geometry, made, fields=fields or {})
            _check_whole(made, voxel_bytes=array.nbytes)
            # The header last, where it has a file of its own.
            for part in sorted(Path(folder).iterdir(), key=lambda part: part == made):
                _put(part, target.parent / part.name)
    except (RuntimeError, OSError, EOFError, zlib.error) as error:
        raise VolumeError(f"cannot write {target}: {itk_message(error)}") from error


def _write_new(array: Array, geometry: Geometry, path: Path, *, fields: Mapping[str, str]) -> None:
    """Write voxels to a file that is not there yet.

    A NIfTI file of an image that was read from NIfTI gets the fields of its header: other programs place images by
    other ones of them, and put image and mask alike only if both have the same.
    """
    import SimpleITK as sitk

    placement = geometry.nifti
    # A geometry that was changed since is not that of the header.
    if placement and placement.grid == geometry.packed() and path.name.endswith((".nii", ".nii.gz")):
        write_nifti(array, placement, path)
        return
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(geometry.spacing)
    image.SetOrigin(geometry.origin)
    image.SetDirection(geometry.direction)
    for key, value in fields.items():
        image.SetMetaData(key, value)
    sitk.WriteImage(image, str(path), useCompression=True)


def check_suffix(path: str | os.PathLike[str], *others: str) -> None:
    """Refuse to write a file with an unknown suffix.

    Args:
        path: File to write.
        others: Suffixes that the caller writes by itself, for the message.

    Raises:
        VolumeError: The suffix is unknown; the message lists the known ones.
    """
    # Lower case only: ITK refuses or changes other suffixes.
    if not Path(path).name.endswith(IMAGE_SUFFIXES):
        raise VolumeError(f"cannot write {path}: its suffix must be one of {', '.join((*IMAGE_SUFFIXES, *others))}")


def _checked_spacing(spacing: Sequence[float] | None) -> Vector | None:
    """The spacing that a person gives, as three numbers."""
    if spacing is None:
        return None
    values = tuple(map(float, spacing))
    if len(values) != 3 or not all(math.isfinite(value) and value > 0 for value in values):
        raise VolumeError(f"spacing: expected three positive numbers (x, y, z) in mm, got {values}")
    return values[0], values[1], values[2]


def _put(made: Path, target: Path) -> None:
    """Move a file to its target, or to the target of a link there."""
    try:
        made.replace(target.resolve())
    except OSError:
        # The target of the link is on another disk, or is a mounted file: it cannot be replaced, only overwritten.
        shutil.copyfile(made, target)


def _check_whole(path: Path, *, voxel_bytes: int) -> None:
    """Refuse a truncated NIfTI file: for this format, ITK does not report a full disk.

    Raises:
        OSError: The file is too small for its voxels.
        EOFError: The compressed data end early.
    """
    if path.name.endswith(".nii"):
        size = path.stat().st_size
    elif path.name.endswith(".nii.gz"):
        with gzip.open(path, "rb") as file:
            size = sum(map(len, iter(lambda: file.read(2**20), b"")))
    else:
        return
    if size < _NIFTI_HEADER_BYTES + voxel_bytes:
        raise OSError("the file is truncated; check that the disk is not full")
