"""The record of an image, as the repository keeps it."""

from __future__ import annotations

from dataclasses import dataclass

from sixpoint.geometry import Geometry

__all__ = ["ImageRecord"]


@dataclass(frozen=True)
class ImageRecord:
    """An image that was uploaded whole. Times are seconds since 1970, UTC.

    Attributes:
        digest: SHA-256 of the image, lower-case hex.
        geometry: Geometry of the voxels.
        voxel_type: Type of the voxels, a number of ``sixpoint.v1.VoxelType``.
        byte_count: Size of the voxels in bytes.
        owner: Name of the first uploader, whose quota is charged.
        created: Time of the upload.
        used: Time of last use.
    """

    digest: str
    geometry: Geometry
    voxel_type: int
    byte_count: int
    owner: str
    created: float
    used: float
