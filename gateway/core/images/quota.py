"""Quotas of images: for all images on the disk, and for each owner."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from gateway.core.images.repository import ImageReader
from gateway.core.images.stored_image import ImageHeader
from sixpoint.errors import ResourceExhausted, StorageFull

__all__ = ["ImageLimits", "Quota"]

_RETRY_S = 30.0


@dataclass(frozen=True)
class ImageLimits:
    """Limits of images and caches.

    Attributes:
        image: Bytes of the largest image accepted.
        disk: Bytes of all images together.
        owner: Bytes of one owner's images; 0 for no limit.
        cache: Bytes of cached files, where the blob store is not on the same disk.
        memory: Bytes of memory of what was computed of images.
        idle: Seconds after which an unused image that no open session uses is removed.
    """

    image: int
    disk: int
    owner: int
    cache: int
    memory: int
    idle: float


class Quota:
    """Checks images against the limits. Running uploads of this process count with their whole size.

    Args:
        limits: The limits.
    """

    def __init__(self, limits: ImageLimits) -> None:
        self._limits = limits
        self._reserved: list[tuple[str, int]] = []

    def check_size(self, header: ImageHeader) -> None:
        """Refuse an image that is too large by itself.

        Raises:
            ResourceExhausted: The image is too large.
        """
        if header.byte_count > self._limits.image:
            raise ResourceExhausted(
                f"the image has {header.byte_count} bytes; at most {self._limits.image} are accepted "
                "(SIXPOINT_MAX_IMAGE_BYTES)"
            )

    @contextmanager
    def reserve(self, header: ImageHeader, *, owner: str, others: tuple[int, int]) -> Iterator[None]:
        """Reserve the bytes of an upload while it runs.

        Args:
            header: Header of the image.
            owner: Name whose quota is charged.
            others: Bytes of all images, and of the owner's images, on the disk.

        Raises:
            StorageFull: Too few bytes are left.
        """
        total, owned = others
        total += sum(size for _, size in self._reserved)
        owned += sum(size for name, size in self._reserved if name == owner)
        self._check(header.byte_count, total=total, owned=owned)
        entry = (owner, header.byte_count)
        self._reserved.append(entry)
        try:
            yield
        finally:
            self._reserved.remove(entry)

    def check_before_insert(self, records: ImageReader, byte_count: int, *, owner: str) -> None:
        """Check again before an image is recorded, as other gateways may have stored images meanwhile.

        Args:
            records: Queries of the transaction.
            byte_count: Size of the image in bytes.
            owner: Name whose quota is charged.

        Raises:
            StorageFull: Too few bytes are left.
        """
        total, owned = used_bytes(records, owner)
        self._check(byte_count, total=total, owned=owned)

    def _check(self, byte_count: int, *, total: int, owned: int) -> None:
        limits = self._limits
        need = f"there is no room for an image of {byte_count} bytes"
        hope = f"Images unused for {limits.idle / 86400:g} days are removed"
        if total + byte_count > limits.disk:
            raise StorageFull(
                f"{need}: {total} of {limits.disk} are in use (SIXPOINT_DISK_BYTES). {hope}", retry_after=_RETRY_S
            )
        if limits.owner and owned + byte_count > limits.owner:
            raise StorageFull(
                f"{need}: {owned} of the {limits.owner} bytes for one owner are in use "
                f"(SIXPOINT_OWNER_IMAGE_BYTES). {hope}",
                retry_after=_RETRY_S,
            )


def used_bytes(records: ImageReader, owner: str) -> tuple[int, int]:
    """Bytes of all images, and of one owner's."""
    return records.byte_total(), records.byte_total(owner)
