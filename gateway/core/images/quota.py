"""Quotas of images: for all images on the disk, and for each owner."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from gateway.core.access import Principal
from gateway.core.images.repository import ImageReader
from gateway.core.images.stored_image import ImageHeader
from gateway.core.images.upload_folder import UnfinishedLimits
from sixpoint.errors import ResourceExhausted, StorageFull

__all__ = ["ImageLimits", "Quota", "Reservation", "used_bytes"]

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
        unfinished: Limits of the files of uploads that ended early.
    """

    image: int
    disk: int
    owner: int
    cache: int
    memory: int
    idle: float
    unfinished: UnfinishedLimits


@dataclass(eq=False)
class Reservation:
    """Bytes of the disk that a running upload has reserved.

    Attributes:
        principal: Whose quota is charged.
        nbytes: Bytes reserved so far.
    """

    principal: Principal
    nbytes: int = 0


class Quota:
    """Checks images against the limits. Running uploads of this process count with what they have reserved.

    Args:
        limits: The limits.
    """

    def __init__(self, limits: ImageLimits) -> None:
        self._limits = limits
        self._reservations: list[Reservation] = []

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
    def reservation(self, principal: Principal) -> Iterator[Reservation]:
        """Count an upload while it runs, with the bytes that :meth:`grow` reserves for it."""
        reservation = Reservation(principal)
        self._reservations.append(reservation)
        try:
            yield reservation
        finally:
            self._reservations.remove(reservation)

    def check_room(self, byte_count: int, *, principal: Principal, used: tuple[int, int]) -> None:
        """Refuse an upload for which there is no room now; nothing is reserved.

        Args:
            byte_count: Size of what is uploaded in bytes.
            principal: Whose quota is charged.
            used: Bytes on the disk: all, and the owner's.

        Raises:
            StorageFull: Too few bytes are left.
        """
        total, owned = self._with_reservations(used, account=principal.account)
        self._check(byte_count, need=_need_of(byte_count), total=total, owned=owned)

    def grow(self, reservation: Reservation, sizes: Sequence[int], *, used: tuple[int, int]) -> None:
        """Reserve more bytes for an upload.

        Args:
            reservation: Reservation of the upload.
            sizes: Bytes to reserve in all, the preferred number first; the last one is needed.
            used: Bytes on the disk without those of running uploads: all, and the owner's.

        Raises:
            StorageFull: Too few bytes are left.
        """
        total, owned = self._with_reservations(used, account=reservation.principal.account)
        total, owned = total - reservation.nbytes, owned - reservation.nbytes
        for nbytes in sizes:
            try:
                self._check(nbytes, need=f"there is no room for {nbytes} bytes of this image", total=total, owned=owned)
            except StorageFull:
                if nbytes == sizes[-1]:
                    raise
            else:
                reservation.nbytes = nbytes
                return

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
        self._check(byte_count, need=_need_of(byte_count), total=total, owned=owned)

    def _with_reservations(self, used: tuple[int, int], *, account: str) -> tuple[int, int]:
        total = sum(running.nbytes for running in self._reservations)
        owned = sum(running.nbytes for running in self._reservations if running.principal.account == account)
        return used[0] + total, used[1] + owned

    def _check(self, byte_count: int, *, need: str, total: int, owned: int) -> None:
        limits = self._limits
        hope = f"Images unused for {limits.idle / 86400:g} days are removed"
        if total + byte_count > limits.disk:
            # Not how many are in use: the size of an upload may tell which image another tenant has sent.
            raise StorageFull(
                f"{need} among the {limits.disk} for all images (SIXPOINT_DISK_BYTES). {hope}", retry_after=_RETRY_S
            )
        if limits.owner and owned + byte_count > limits.owner:
            raise StorageFull(
                f"{need}: {owned} of the {limits.owner} bytes for one owner are in use "
                f"(SIXPOINT_OWNER_IMAGE_BYTES). {hope}",
                retry_after=_RETRY_S,
            )


def used_bytes(records: ImageReader, owner: str) -> tuple[int, int]:
    """Bytes of the images of all tenants, and of one owner's."""
    return records.byte_total_of_all(), records.byte_total(owner)


def _need_of(byte_count: int) -> str:
    return f"there is no room for an image of {byte_count} bytes"
