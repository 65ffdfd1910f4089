"""What images need of the database and of the blob store, as interfaces that the storage implements."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from pathlib import Path
from typing import Protocol, TypeAlias

from gateway.core.access import AuditEntry
from gateway.core.images.records import ImageKey, ImageRecord
from gateway.core.runtime.transactions import Maintenance, Repository

__all__ = ["BlobStore", "ImageMaintenance", "ImageReader", "ImageRepository", "ImageUpkeep", "ImageWriter"]


class ImageReader(Protocol):
    """Queries on the images of one tenant, within one transaction."""

    def image(self, digest: str) -> ImageRecord | None:
        """The record of the image with this digest."""
        ...

    def byte_total(self, owner: str) -> int:
        """Bytes of one owner's images."""
        ...

    def byte_total_of_all(self) -> int:
        """Bytes of the images of all tenants, for the limit of the disk."""
        ...


class ImageWriter(ImageReader, Protocol):
    """Queries and changes of the images of one tenant, within one transaction."""

    def audit(self, entry: AuditEntry) -> None:
        """Write an entry to the audit log, as the last change of the transaction."""
        ...

    def lock_image(self, digest: str) -> None:
        """Block other transactions that lock the same digest until this one ends.

        Whoever adds or removes a record together with its blob calls it first.
        """
        ...

    def add_image(self, record: ImageRecord) -> ImageRecord:
        """Add a record; if there is one of this digest, keep that one and set its time of last use.

        Returns:
            The record that is stored.
        """
        ...

    def touch_image(self, digest: str, *, now: float) -> None:
        """Set an image's time of last use, unless it is later already."""
        ...

    def delete_image(self, record: ImageRecord) -> bool:
        """Delete a record, unless it belongs to a later upload of the same image; return whether it was deleted."""
        ...

    def delete_if_unused(self, digest: str, *, before: float) -> bool:
        """Delete an image's record if no open session uses it and it was last used before a time.

        Returns:
            Whether it was deleted.
        """
        ...


class ImageUpkeep(Protocol):
    """Queries on the images of all tenants, within one transaction."""

    def byte_total_of_all(self) -> int:
        """Bytes of all images."""
        ...

    def recorded(self, keys: Collection[ImageKey]) -> set[ImageKey]:
        """Those of some keys that have a record."""
        ...

    def list_unused(self, *, before: float, after: tuple[float, str, str], limit: int) -> list[tuple[float, str, str]]:
        """Images that no open session uses, last used before a time; the least recently used first.

        Args:
            before: Time before which the images were last used.
            after: Time of last use, tenant and digest after which the list starts.
            limit: Largest number of images to return.

        Returns:
            Time of last use, tenant and digest of each image.
        """
        ...


ImageRepository: TypeAlias = Repository[ImageReader, ImageWriter]
"""The transactions of images."""

ImageMaintenance: TypeAlias = Maintenance[ImageUpkeep]
"""The transactions on the images of all tenants."""


class BlobStore(Protocol):
    """Blobs of bytes by key: lower-case names with slashes between them."""

    async def put_file(self, key: str, path: Path) -> None:
        """Store a copy of a file, replacing the blob of this key: whole and durable, or not at all.

        On the same file system the blob may be a hard link to the file, which must not be written to again.

        Raises:
            StorageFull: The store is full.
            StorageUnavailable: The store cannot be reached.
        """
        ...

    async def get_to_file(self, key: str, path: Path) -> bool:
        """Copy a blob to a new file; an error leaves no file.

        Returns:
            Whether there is a blob of this key.

        Raises:
            StorageFull: The disk is full.
            StorageUnavailable: The store cannot be reached.
        """
        ...

    async def size(self, key: str) -> int | None:
        """Size of a blob in bytes; None if there is none of this key.

        Raises:
            StorageUnavailable: The store cannot be reached.
        """
        ...

    def delete_blocking(self, key: str) -> None:
        """Delete a blob, if there is one of this key, on the calling thread: within a transaction, for example.

        Raises:
            StorageUnavailable: The store cannot be reached.
        """
        ...

    def keys(self) -> AsyncIterator[list[str]]:
        """The keys of all blobs, some at a time.

        Raises:
            StorageUnavailable: The store cannot be reached.
        """
        ...

    async def tidy(self, before: float) -> None:
        """Remove incomplete blobs that a killed gateway wrote before a time, in seconds since 1970.

        Raises:
            StorageUnavailable: The store cannot be reached.
        """
        ...
