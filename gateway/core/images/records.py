"""The record of an image, as the repository keeps it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from gateway.core.access import DEFAULT_TENANT
from sixpoint.geometry import Geometry

__all__ = ["ImageKey", "ImageRecord"]

_BLOB = re.compile(r"(?:tenants/([a-z0-9-]{1,63})/)?images/[0-9a-f]{2}/([0-9a-f]{64})")
_FILE = re.compile(r"([0-9a-f]{64})(?:-([a-z0-9-]{1,63}))?")


class ImageKey(NamedTuple):
    """What an image is found by.

    Attributes:
        tenant: Name of the tenant.
        digest: SHA-256 of the image, lower-case hex.
    """

    tenant: str
    digest: str

    @property
    def blob(self) -> str:
        """The key of its voxels in the blob store."""
        folder = "" if self.tenant == DEFAULT_TENANT else f"tenants/{self.tenant}/"
        return f"{folder}images/{self.digest[:2]}/{self.digest}"

    @property
    def file_name(self) -> str:
        """The name of its file in the cache."""
        return self.digest if self.tenant == DEFAULT_TENANT else f"{self.digest}-{self.tenant}"

    @classmethod
    def of_file(cls, name: str) -> ImageKey | None:
        """The image whose file has this name; None if it is another file."""
        match = _FILE.fullmatch(name)
        return cls(match[2] or DEFAULT_TENANT, match[1]) if match else None

    @classmethod
    def of_blob(cls, name: str) -> ImageKey | None:
        """The image whose voxels a blob holds; None if it is another kind of blob."""
        match = _BLOB.fullmatch(name)
        return cls(match[1] or DEFAULT_TENANT, match[2]) if match else None


@dataclass(frozen=True)
class ImageRecord:
    """An image that was uploaded whole. Times are seconds since 1970, UTC.

    Attributes:
        tenant: Name of the tenant. Two tenants that upload the same image have two, with voxels of their own.
        digest: SHA-256 of the image, lower-case hex.
        geometry: Geometry of the voxels.
        voxel_type: Type of the voxels, a number of ``sixpoint.v1.VoxelType``.
        byte_count: Size of the voxels in bytes.
        owner: Subject that uploaded it first, whose quota is charged.
        created: Time of the upload.
        used: Time of last use.
    """

    tenant: str
    digest: str
    geometry: Geometry
    voxel_type: int
    byte_count: int
    owner: str
    created: float
    used: float

    @property
    def key(self) -> ImageKey:
        """What the image is found by."""
        return ImageKey(self.tenant, self.digest)
