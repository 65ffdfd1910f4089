"""What an upload announces, and an image at hand."""

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

__all__ = ["ImageHeader", "ImageSource", "StoredImage", "blob_key", "check_header", "is_digest"]

_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class ImageHeader:
    """What an upload announces.

    Attributes:
        digest: SHA-256 of the image, lower-case hex, as ``sixpoint.v1.Image.digest`` defines it.
        geometry: Where the voxels lie.
        voxel_type: Their type, as numbered in ``sixpoint.v1.VoxelType``.
        byte_count: Bytes of voxels that follow.
    """

    digest: str
    geometry: Geometry
    voxel_type: int
    byte_count: int


class StoredImage:
    """An image at hand, and its canonical view. It stays usable as long as it is referred to, whatever is removed.

    Attributes:
        digest: SHA-256 by which it is known.
        volume: The voxels as they came; read-only, and usually mapped from a file.
        reduced: Gives :attr:`canonical` reduced by block means.
    """

    def __init__(self, digest: str, volume: Volume) -> None:
        self.digest = digest
        self.volume = volume
        self.reduced = Reductions(self.canonical)

    @property
    def nbytes(self) -> int:
        """Bytes of voxels."""
        return self.volume.array.nbytes

    @cached_property
    def canonical_geometry(self) -> Geometry:
        """Geometry of :attr:`canonical`."""
        return self.volume.geometry.canonical()

    @property
    def canonical(self) -> Array:
        """The voxels [z, y, x] with axes closest to L, P, S: a view."""
        return self.volume.geometry.orientation.to_canonical(self.volume.array)


class ImageSource(Protocol):
    """Where annotation and segmentation open images."""

    async def open(self, digest: str) -> StoredImage:
        """Open an image.

        Args:
            digest: Digest of the image.

        Raises:
            ImageNotFound: When there is no such image, or its voxels are damaged.
        """
        ...


def is_digest(text: str) -> bool:
    """Whether a text is a SHA-256 in lower-case hex, and so may be the name of a file."""
    return bool(_DIGEST.fullmatch(text))


def blob_key(digest: str) -> str:
    """Under which the blob store has the voxels of an image."""
    return f"images/{digest[:2]}/{digest}"


def check_header(header: ImageHeader) -> None:
    """Refuse a header that cannot be true.

    Raises:
        VolumeError: When it describes no usable volume.
        UploadError: When it contradicts itself, or its digest is none.
    """
    if not is_digest(header.digest):
        raise UploadError(
            "the digest is not a SHA-256 in lower-case hex",
            violations=(Violation("header.digest", "64 characters 0-9 and a-f"),),
        )
    if header.voxel_type not in VOXEL_TYPES:
        known = ", ".join(str(dtype) for dtype in VOXEL_TYPES.values())
        raise VolumeError(
            f"voxel type {header.voxel_type} is not supported; expected one of {known}",
            violations=(Violation("header.voxel_type", f"one of {known}"),),
        )
    if min(header.geometry.size) < 2:
        raise VolumeError(
            f"a 3D image is needed, at least two voxels along each axis; got size {header.geometry.size}",
            violations=(Violation("header.geometry.size", "at least 2 along x, y and z"),),
        )
    # Python's integers: a header cannot overflow them.
    x, y, z = header.geometry.size
    expected = x * y * z * VOXEL_TYPES[header.voxel_type].itemsize
    if header.byte_count != expected:
        raise UploadError(
            f"the header says {header.byte_count} bytes, but its size and voxel type make {expected}",
            violations=(Violation("header.byte_count", f"{expected} for this size and voxel type"),),
        )
