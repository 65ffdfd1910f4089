"""The blob store: whole files under a key, in a folder or in an object store."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from gateway.core.runtime.process.disk_errors import disk_errors
from sixpoint.errors import InvalidArgument, NotFound, StorageUnavailable
from sixpoint.io.atomic_files import flush, is_temporary, link_or_copy, move_into_place, temporary_path
from sixpoint.io.object_store import Objects

__all__ = ["Blobs", "blob_folder"]

_RETRY_S = 2.0
# Parts of one upload in memory at once, each of 8 MiB.
_CONCURRENCY = 4
_PAGE = 1000
# No blob has it.
_NO_KEY = "none"
_SCHEMES = {"s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "adl"}
_KEY = re.compile(r"[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*)*")


class _Store(Protocol):
    """A kind of store; all methods block."""

    def put(self, key: str, path: Path) -> None: ...
    def get(self, key: str, path: Path) -> bool: ...
    def size(self, key: str) -> int | None: ...
    def delete(self, key: str) -> None: ...
    def keys(self) -> Iterator[str]: ...
    def tidy(self, before: float) -> None: ...
    def check(self) -> None: ...


class Blobs:
    """A :class:`gateway.core.images.repository.BlobStore` in a folder or an object store.

    Args:
        url: A folder (a path, or ``file:///...``), or ``s3://bucket/prefix``, ``gs://...``, ``az://...``; their
            credentials are the environment variables of obstore (``AWS_...``, ``GOOGLE_...``, ``AZURE_...``).

    Raises:
        InvalidArgument: The URL is of another kind.
    """

    def __init__(self, url: str) -> None:
        self._store = _open_store(url)

    async def put_file(self, key: str, path: Path) -> None:
        """Store a copy of a file, replacing the blob of this key: whole and durable, or not at all.

        In a folder on the same file system the blob is a hard link to the file, which must not be written to again.

        Raises:
            StorageFull: The store is full.
            StorageUnavailable: The store cannot be reached.
        """
        await asyncio.to_thread(self._store.put, _checked(key), path)

    async def get_to_file(self, key: str, path: Path) -> bool:
        """Copy a blob to a new file; an error leaves no file.

        Returns:
            Whether there is a blob of this key.

        Raises:
            StorageFull: The disk is full.
            StorageUnavailable: The store cannot be reached.
        """
        return await asyncio.to_thread(self._store.get, _checked(key), path)

    async def size(self, key: str) -> int | None:
        """Size of a blob in bytes; None if there is none of this key.

        Raises:
            StorageUnavailable: The store cannot be reached.
        """
        return await asyncio.to_thread(self._store.size, _checked(key))

    def delete_blocking(self, key: str) -> None:
        """Delete a blob, if there is one of this key, on the calling thread: within a transaction, for example.

        Raises:
            StorageUnavailable: The store cannot be reached.
        """
        self._store.delete(_checked(key))

    async def keys(self) -> AsyncIterator[list[str]]:
        """The keys of all blobs, up to a thousand at a time.

        Raises:
            StorageUnavailable: The store cannot be reached.
        """
        keys = self._store.keys()
        while page := await asyncio.to_thread(lambda: list(itertools.islice(keys, _PAGE))):
            yield page

    async def tidy(self, before: float) -> None:
        """Remove incomplete files that a killed gateway wrote to a folder before a time, in seconds since 1970.

        An object store does that itself, if a rule of the bucket aborts incomplete multipart uploads.

        Raises:
            StorageUnavailable: The folder cannot be read.
        """
        await asyncio.to_thread(self._store.tidy, before)

    async def check(self) -> None:
        """Ask the store for something small.

        Raises:
            StorageUnavailable: The store cannot be reached, or its folder was there before and is gone.
        """
        await asyncio.to_thread(self._store.check)


class _FolderStore:
    """Blobs as files. obstore's own LocalStore flushes neither files nor folders, and always copies."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._existed = False

    def put(self, key: str, path: Path) -> None:
        target = self._folder / key
        temporary = temporary_path(target)
        with disk_errors():
            for parent in [*reversed(target.parent.parents), target.parent]:
                if not parent.is_dir():
                    parent.mkdir(mode=0o700, exist_ok=True)
                    flush(parent.parent)
            try:
                link_or_copy(path, temporary)
                move_into_place(temporary, target)
            finally:
                # Renaming one hard link of a file to another one of the same file does nothing.
                temporary.unlink(missing_ok=True)

    def get(self, key: str, path: Path) -> bool:
        with disk_errors():
            try:
                link_or_copy(self._folder / key, path)
            except FileNotFoundError:
                # Folders are never removed: if this one is missing, the store is not mounted, and the blob not gone.
                if not (self._folder / key).parents[max(0, key.count("/") - 1)].is_dir():
                    raise _store_missing() from None
                return False
            return True

    def size(self, key: str) -> int | None:
        with disk_errors():
            try:
                return (self._folder / key).stat().st_size
            except FileNotFoundError:
                return None

    def delete(self, key: str) -> None:
        with disk_errors():
            (self._folder / key).unlink(missing_ok=True)

    def keys(self) -> Iterator[str]:
        with disk_errors():
            for path in self._folder.rglob("*"):
                if path.is_file() and not is_temporary(path):
                    yield path.relative_to(self._folder).as_posix()

    def tidy(self, before: float) -> None:
        with disk_errors():
            for path in self._folder.rglob(".*"):
                with suppress(FileNotFoundError):
                    if is_temporary(path) and path.stat().st_mtime < before:
                        path.unlink()

    def check(self) -> None:
        with disk_errors():
            exists = self._folder.is_dir()
        # A new store has no folder before its first blob.
        if self._existed and not exists:
            raise _store_missing()
        self._existed = exists


class _BucketStore:
    """Blobs as objects in an object store."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._existed = False

    def put(self, key: str, path: Path) -> None:
        try:
            self._objects.put(key, path, concurrency=_CONCURRENCY)
        except NotFound:
            raise _store_missing() from None

    def get(self, key: str, path: Path) -> bool:
        size = self.size(key)
        if size is None:
            self._check_bucket()
            return False
        try:
            with disk_errors(), path.open("xb") as file:
                self._objects.download(key, file, size=size)
        except NotFound:
            path.unlink(missing_ok=True)
            return False
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return True

    def size(self, key: str) -> int | None:
        try:
            return self._objects.size(key)
        except NotFound:
            return None

    def delete(self, key: str) -> None:
        with suppress(NotFound):
            self._objects.delete(key)

    def keys(self) -> Iterator[str]:
        try:
            yield from self._objects.keys()
        except NotFound:
            raise _store_missing() from None

    def tidy(self, before: float) -> None:
        pass

    def check(self) -> None:
        # Once: lists cost more than queries for an object.
        if not self._existed:
            self._check_bucket()
            self._existed = True
        self.size(_NO_KEY)

    def _check_bucket(self) -> None:
        # A missing bucket and a missing object are the same answer to the query for an object.
        try:
            # Without a prefix, a list would be up to a thousand keys.
            next(self._objects.keys(_NO_KEY), None)
        except NotFound:
            raise _store_missing() from None


def _store_missing() -> StorageUnavailable:
    return StorageUnavailable(
        "the blob store does not exist: the folder is not mounted, or there is no such bucket (SIXPOINT_BLOBS_URL)",
        retry_after=_RETRY_S,
    )


def _unavailable(kind: str) -> StorageUnavailable:
    return StorageUnavailable(f"the blob store cannot be used ({kind}); try again", retry_after=_RETRY_S)


def blob_folder(url: str) -> Path | None:
    """Return the folder that a URL of a blob store names; None if it names an object store, or nothing."""
    scheme = urlsplit(url).scheme if "://" in url else ""
    if not scheme and url:
        return Path(url).absolute()
    return Path(unquote(urlsplit(url).path)) if scheme == "file" else None


def _open_store(url: str) -> _Store:
    if (folder := blob_folder(url)) is not None:
        return _FolderStore(folder)
    scheme = urlsplit(url).scheme if "://" in url else ""
    if scheme in _SCHEMES:
        with suppress(ValueError):
            return _BucketStore(Objects(url, unavailable=_unavailable))
    # The URL may hold a secret: it is not repeated.
    raise InvalidArgument(
        "the URL of the blob store is not understood; expected a folder, s3://bucket/prefix, gs://bucket/prefix or "
        "az://container/prefix (SIXPOINT_BLOBS_URL)"
    )


def _checked(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise InvalidArgument("the key of a blob is not valid; expected lower-case names with slashes between them")
    return key
