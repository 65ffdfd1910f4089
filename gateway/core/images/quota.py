"""Whether there is room for one more image: the budgets of the disk and of an owner."""

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
    """Bounds on what is kept.

    Attributes:
        largest: Bytes of the largest image accepted.
        disk: Bytes of all images together.
        owner: Bytes of one owner's images; 0 for no limit.
        cache: Bytes of the files mapped for use, where the blob store is not on the same disk.
        memory: Bytes of what was computed of images, and is kept with those used last.
        idle: Seconds after which an image that nobody used, and no open session uses, is removed.
    """

    largest: int
    disk: int
    owner: int
    cache: int
    memory: int
    idle: float


class Quota:
    """What is left of the budgets. Uploads under way in this process count as if they were whole."""

    def __init__(self, limits: ImageLimits) -> None:
        self._limits = limits
        self._reserved: list[tuple[str, int]] = []

    def check_size(self, header: ImageHeader) -> None:
        """Refuse an image that is too large by itself.

        Raises:
            ResourceExhausted: Saying how large it may be.
        """
        if header.byte_count > self._limits.largest:
            raise ResourceExhausted(
                f"the image has {header.byte_count} bytes; at most {self._limits.largest} are "
                "accepted (SIXPOINT_MAX_IMAGE_BYTES)"
            )

    @contextmanager
    def reserve(self, header: ImageHeader, *, owner: str, others: tuple[int, int]) -> Iterator[None]:
        """Set room aside for an upload.

        Args:
            header: Of the image.
            owner: Whose it is.
            others: Bytes of all that is kept, and of what is the owner's.

        Raises:
            StorageFull: When there is too little.
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
        """Look again before an image is recorded: other gateways keep images, too.

        Raises:
            StorageFull: When there is too little room.
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
    """Bytes of all images kept, and of one owner's."""
    return records.byte_total(), records.byte_total(owner)
