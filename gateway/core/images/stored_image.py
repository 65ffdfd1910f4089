"""Images: the header that announces one, and one that is ready for use."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from gateway.core.images.reductions import Reductions
from sixpoint._typing import Array
from sixpoint.errors import UploadError, Violation, VolumeError
from sixpoint.geometry import Geometry
from sixpoint.volume import VOXEL_TYPES, Volume

__all__ = ["ImageHeader", "ImageSource", "StoredImage", "check_header", "is_digest"]

_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class ImageHeader:
    """What an upload announces.

    Attributes:
        digest: SHA-256 of the image, lower-case hex, as ``sixpoint.v1.Image.digest`` defines it.
        geometry: Geometry of the voxels.
        voxel_type: Type of the voxels, a number of ``sixpoint.v1.VoxelType``.
        byte_count: Size of the voxels in bytes.
    """

    digest: str
    geometry: Geometry
    voxel_type: int
    byte_count: int


class StoredImage:
    """An image ready for use. It stays usable while it is referenced, even if its files are removed.

    Attributes:
        digest: SHA-256 of the image.
        volume: Voxels as uploaded; read-only, usually mapped from a file.
        reduced: Reductions of :attr:`canonical` by block means.
    """

    def __init__(self, digest: str, volume: Volume) -> None:
        self.digest = digest
        self.volume = volume
        self.reduced = Reductions(self.canonical)

    @property
    def nbytes(self) -> int:
        """Size of the voxels in bytes."""
        return self.volume.array.nbytes

    @cached_property
    def canonical_geometry(self) -> Geometry:
        """The geometry of :attr:`canonical`."""
        return self.volume.geometry.canonical()

    @property
    def canonical(self) -> Array:
        """The voxels [z, y, x] with axes closest to L, P, S, as a view."""
        return self.volume.geometry.orientation.to_canonical(self.volume.array)


class ImageSource(Protocol):
    """Where annotation and segmentation open images."""

    async def open(self, digest: str, *, tenant: str) -> StoredImage:
        """Open an image.

        Args:
            digest: Digest of the image.
            tenant: Name of the tenant whose image it is.

        Raises:
            ImageNotFound: When there is no such image, or its voxels are damaged.
        """
        ...


def is_digest(text: str) -> bool:
    """Whether a text is a SHA-256 in lower-case hex, and thus safe as the name of a file."""
    return bool(_DIGEST.fullmatch(text))


def check_header(header: ImageHeader) -> None:
    """Refuse a header that cannot be right.

    Raises:
        VolumeError: The header describes no usable volume.
        UploadError: The header contradicts itself, or has no valid digest.
    """
    if not is_digest(header.digest):
        raise UploadError(
            "the digest is not a SHA-256; expected 64 characters of lower-case hex",
            violations=(Violation("header.digest", "64 characters 0-9 and a-f"),),
        )
    if header.voxel_type not in VOXEL_TYPES:
        supported = ", ".join(str(dtype) for dtype in VOXEL_TYPES.values())
        raise VolumeError(
            f"voxel type {header.voxel_type} is not supported; expected one of {supported}",
            violations=(Violation("header.voxel_type", f"one of {supported}"),),
        )
    if min(header.geometry.size) < 2:
        raise VolumeError(
            f"a 3D image is needed, at least two voxels along each axis; got size {header.geometry.size}",
            violations=(Violation("header.geometry.size", "at least 2 along x, y and z"),),
        )
    # Integers of Python do not overflow, whatever the header says.
    x, y, z = header.geometry.size
    expected = x * y * z * VOXEL_TYPES[header.voxel_type].itemsize
    if header.byte_count != expected:
        raise UploadError(
            f"the header says {header.byte_count} bytes; its size and voxel type make {expected}",
            violations=(Violation("header.byte_count", f"{expected} for this size and voxel type"),),
        )
