"""An image: voxels and where they lie."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from sixpoint._typing import Array
from sixpoint.errors import VolumeError
from sixpoint.geometry import Geometry
from sixpoint.io import IMAGE_SUFFIXES, itk_message, read_image

__all__ = ["VOXEL_TYPES", "Volume", "check_suffix", "check_voxels", "image_digest", "write_image"]


VOXEL_TYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype("<i1"),
    2: np.dtype("<u1"),
    3: np.dtype("<i2"),
    4: np.dtype("<u2"),
    5: np.dtype("<i4"),
    6: np.dtype("<u4"),
    7: np.dtype("<f4"),
}
"""The dtypes that travel, by their number in ``sixpoint.v1.VoxelType``."""


_NIFTI_HEADER_BYTES = 352
"""The least, with the four bytes that say that there are no extensions."""


def image_digest(geometry: Geometry, array: Array) -> str:
    """The SHA-256 (lower-case hex) by which an image is known, as ``sixpoint.v1.Image.digest`` defines it.

    Args:
        geometry: Where the voxels lie.
        array: C-contiguous voxels [z, y, x] of one of :data:`VOXEL_TYPES`.
    """
    digest = hashlib.sha256(geometry.packed())
    digest.update(bytes([voxel_type_number(array.dtype)]))
    digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def voxel_type_number(dtype: np.dtype[Any]) -> int:
    """The number of a dtype in ``sixpoint.v1.VoxelType``.

    Raises:
        VolumeError: When voxels of this dtype do not travel.
    """
    for number, known in VOXEL_TYPES.items():
        if known == dtype:
            return number
    names = ", ".join(str(known) for known in VOXEL_TYPES.values())
    raise VolumeError(f"voxels of type {dtype} are not supported; expected one of {names}")


def check_voxels(array: Array) -> None:
    """Refuse voxels that are not numbers.

    Raises:
        VolumeError: Saying how many voxels are NaN or infinite.
    """
    if array.dtype.kind == "f":
        # One sum is a third of the cost of isfinite over the volume; only a suspicious one is looked at closely.
        with np.errstate(over="ignore", invalid="ignore"):
            suspicious = not np.isfinite(array.sum(dtype=np.float64))
        if suspicious:
            wrong = int(array.size - np.count_nonzero(np.isfinite(array)))
            if wrong:
                raise VolumeError(
                    f"the image has {wrong} voxels that are NaN or infinite; replace them before uploading"
                )


@dataclass(frozen=True, eq=False)
class Volume:
    """A 3D image with one number per voxel.

    Attributes:
        array: Voxels [z, y, x]: C-contiguous, little-endian, of one of :data:`VOXEL_TYPES`.
        geometry: Where they lie.

    Raises:
        VolumeError: When the array is not 3D, not real, empty, or disagrees with the geometry.
    """

    array: Array
    geometry: Geometry

    def __post_init__(self) -> None:
        if self.array.ndim != 3:
            raise VolumeError(f"a volume has three axes [z, y, x], got an array of shape {self.array.shape}")
        if self.array.shape != self.geometry.shape:
            raise VolumeError(f"the geometry says [z, y, x] = {self.geometry.shape}, the array is {self.array.shape}")
        object.__setattr__(self, "array", _travelling(self.array))

    @property
    def digest(self) -> str:
        """The SHA-256 by which the gateway knows this image."""
        return image_digest(self.geometry, self.array)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Volume:
        """Read NIfTI, NRRD, MetaImage, or a folder with one DICOM series.

        Raises:
            VolumeError: When the file is missing, empty, damaged, of another kind, 2D, 4D, or not one number per voxel,
                the header of a NIfTI file gives two places, or the slices of a DICOM series are not of one kind
                and evenly spaced.
        """
        return cls.from_sitk(read_image(Path(path)))

    @classmethod
    def from_sitk(cls, image: sitk.Image) -> Volume:
        """Take a SimpleITK image; its voxels are copied.

        Raises:
            VolumeError: When it is 2D, 4D with several frames, or has several components per voxel.
        """
        dimension = image.GetDimension()
        if dimension == 4 and image.GetSize()[3] == 1:
            image = image[:, :, :, 0]
        elif dimension != 3:
            raise VolumeError(f"a 3D image is needed, got a {dimension}D one of size {image.GetSize()}")
        if image.GetNumberOfComponentsPerPixel() != 1:
            raise VolumeError(f"expected one number per voxel, got {image.GetNumberOfComponentsPerPixel()}")
        geometry = Geometry(
            size=image.GetSize(),
            spacing=image.GetSpacing(),
            origin=image.GetOrigin(),
            direction=image.GetDirection(),
        )
        return cls(sitk.GetArrayFromImage(image), geometry)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write to a file whose suffix says its format; compressed where the format can.

        Raises:
            VolumeError: When the suffix is unknown or the file cannot be written.
        """
        write_image(self.array, self.geometry, path)


def write_image(array: Array, geometry: Geometry, path: str | os.PathLike[str]) -> None:
    """Write voxels [z, y, x] to a NIfTI, NRRD or MetaImage file; what was there stays until the new one is whole.

    Raises:
        VolumeError: When the suffix is unknown or the file cannot be written.
    """
    target = Path(path)
    check_suffix(target)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(geometry.spacing)
    image.SetOrigin(geometry.origin)
    image.SetDirection(geometry.direction)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".sixpoint-", dir=target.parent, ignore_cleanup_errors=True) as folder:
            made = Path(folder) / target.name
            sitk.WriteImage(image, str(made), useCompression=True)
            _check_whole(made, voxel_bytes=array.nbytes)
            # The header last, where the voxels have a file of their own.
            for part in sorted(Path(folder).iterdir(), key=lambda part: part == made):
                _put(part, target.parent / part.name)
    except (RuntimeError, OSError, EOFError, zlib.error) as error:
        raise VolumeError(f"cannot write {target}: {itk_message(error)}") from error


def check_suffix(path: str | os.PathLike[str]) -> None:
    """Refuse a file to write whose suffix says no format.

    Raises:
        VolumeError: Naming those that there are.
    """
    # Lower case only: ITK refuses or renames others.
    if not Path(path).name.endswith(IMAGE_SUFFIXES):
        raise VolumeError(f"cannot write {path}: its suffix must be one of {', '.join(IMAGE_SUFFIXES)}")


def _put(made: Path, place: Path) -> None:
    """Move a file to its place; where that is a link, to what it leads to."""
    try:
        made.replace(place.resolve())
    except OSError:
        # On another disk behind the link, or a file that is mounted by itself: nothing can take its place at once.
        shutil.copyfile(made, place)


def _check_whole(path: Path, *, voxel_bytes: int) -> None:
    """Refuse a NIfTI file that was cut short: of a full disk ITK says nothing, as it does of other formats.

    Raises:
        OSError: When it has no place for its voxels.
        EOFError: When its compressed data end too soon.
    """
    if path.name.endswith(".nii"):
        size = path.stat().st_size
    elif path.name.endswith(".nii.gz"):
        with gzip.open(path, "rb") as file:
            size = sum(map(len, iter(lambda: file.read(2**20), b"")))
    else:
        return
    if size < _NIFTI_HEADER_BYTES + voxel_bytes:
        raise OSError("it was cut short; is the disk full?")


def _travelling(array: Array) -> Array:
    """The array in a form that travels: C order, little-endian, and no type wider than 32 bits."""
    if array.dtype.kind == "f" and array.dtype.itemsize in (2, 8):
        array = array.astype("<f4")
    elif array.dtype.kind in "iu" and array.dtype.itemsize == 8:
        narrow = np.dtype("<i4") if array.dtype.kind == "i" else np.dtype("<u4")
        limits = np.iinfo(narrow)
        if array.size and (array.min() < limits.min or array.max() > limits.max):
            raise VolumeError(f"voxels of type {array.dtype} are supported only while they fit into {narrow}")
        array = array.astype(narrow)
    elif array.dtype == np.bool_:
        array = array.astype(np.uint8)
    array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    voxel_type_number(array.dtype)
    return array
