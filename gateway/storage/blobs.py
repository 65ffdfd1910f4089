"""The store of blobs: whole files under a key, in a folder or in an object store."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import from_url

from gateway.core.runtime.disk_errors import disk_errors
from sixpoint.errors import InvalidArgument, StorageUnavailable
from sixpoint.io.atomic_files import aside, copy, is_aside, place, sync_folder

if TYPE_CHECKING:
    from obstore.store import ObjectStore, RetryConfig

__all__ = ["Blobs"]

_RETRY_S = 2.0
# Of an object store: parts in memory at once, and their size. 10,000 parts are the most, so 80 GB are.
_PART_BYTES = 8 * 2**20
_PARTS = 4
_RETRIES: RetryConfig = {"max_retries": 3, "retry_timeout": timedelta(seconds=30)}
_SCHEMES = {"s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "adl"}
_KEY = re.compile(r"[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*)*")


class _Missing(Exception):
    """An object store has no object of this key."""


class _Store(Protocol):
    """What a kind of store does; all of it blocks."""

    def put(self, key: str, path: Path) -> None: ...
    def get(self, key: str, path: Path) -> bool: ...
    def size(self, key: str) -> int | None: ...
    def delete(self, key: str) -> None: ...
    def tidy(self, before: float) -> None: ...


class Blobs:
    """Blobs by key: lower-case names with slashes between them.

    Args:
        url: A folder (a path, or ``file:///...``), or ``s3://bucket/prefix``, ``gs://...``, ``az://...``; the
            credentials of these are obstore's environment variables (``AWS_...``, ``GOOGLE_...``, ``AZURE_...``).

    Raises:
        InvalidArgument: When the URL is of no known kind.
    """

    def __init__(self, url: str) -> None:
        self._store = _store(url)

    async def put_file(self, key: str, path: Path) -> None:
        """Keep a copy of a file, in place of the blob of this key, if there is one: whole and durably, or not at all.

        In a folder on the same file system it may be the same file by another name: it must not be written to again.

        Raises:
            StorageFull: When the store is full.
            StorageUnavailable: When it cannot be reached.
        """
        await asyncio.to_thread(self._store.put, _checked(key), path)

    async def get_to_file(self, key: str, path: Path) -> bool:
        """Copy a blob to a new file; whether there is one of this key. On an error no file is left.

        Raises:
            StorageFull: When the disk is full.
            StorageUnavailable: When the store cannot be reached.
        """
        return await asyncio.to_thread(self._store.get, _checked(key), path)

    async def size(self, key: str) -> int | None:
        """Bytes of a blob; None when there is none of this key.

        Raises:
            StorageUnavailable: When the store cannot be reached.
        """
        return await asyncio.to_thread(self._store.size, _checked(key))

    def delete_blocking(self, key: str) -> None:
        """Delete a blob, if there is one of this key, on the calling thread: within a transaction, for example.

        Raises:
            StorageUnavailable: The store cannot be reached.
        """
        self._store.delete(_checked(key))

    async def tidy(self, before: float) -> None:
        """Remove what gateways that were killed before a time, seconds since 1970, left half-written in a folder.

        An object store has rules of its own for that: let it abort incomplete multipart uploads.

        Raises:
            StorageUnavailable: When the folder cannot be read.
        """
        await asyncio.to_thread(self._store.tidy, before)


class _Folder:
    """Blobs as files. obstore's own LocalStore syncs neither files nor folders, and always copies."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, key: str, path: Path) -> None:
        target = self._folder / key
        temporary = aside(target)
        with disk_errors():
            for parent in [*reversed(target.parent.parents), target.parent]:
                if not parent.is_dir():
                    parent.mkdir(exist_ok=True)
                    sync_folder(parent.parent)
            try:
                copy(path, temporary)
                place(temporary, target)
            finally:
                # A rename of one name of a file to another name of the same file does nothing.
                temporary.unlink(missing_ok=True)

    def get(self, key: str, path: Path) -> bool:
        with disk_errors():
            try:
                copy(self._folder / key, path)
            except FileNotFoundError:
                # Folders are never removed: without this one, the store is not mounted, rather than the blob gone.
                if not (self._folder / key).parents[max(0, key.count("/") - 1)].is_dir():
                    raise _no_store() from None
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

    def tidy(self, before: float) -> None:
        with disk_errors():
            for path in self._folder.rglob(".*"):
                with suppress(FileNotFoundError):
                    if is_aside(path) and path.stat().st_mtime < before:
                        path.unlink()


class _Objects:
    """Blobs in an object store."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def put(self, key: str, path: Path) -> None:
        with _store_errors():
            obstore.put(self._store, key, path, chunk_size=_PART_BYTES, max_concurrency=_PARTS)

    def get(self, key: str, path: Path) -> bool:
        size = self.size(key)
        if size is None:
            self._check()
            return False
        try:
            with disk_errors(), path.open("xb") as file:
                # In parts, each a request of its own: obstore's deadline (30 s) is for a whole request.
                for start in range(0, size, _PART_BYTES):
                    file.write(self._part(key, start, min(start + _PART_BYTES, size)))
        except _Missing:
            path.unlink(missing_ok=True)
            return False
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return True

    def size(self, key: str) -> int | None:
        try:
            with _store_errors():
                return obstore.head(self._store, key)["size"]
        except _Missing:
            return None

    def delete(self, key: str) -> None:
        # S3 does not mind a key that is not there; others do.
        with suppress(_Missing), _store_errors():
            obstore.delete(self._store, key)

    def tidy(self, before: float) -> None:
        pass

    def _check(self) -> None:
        # An object store says the same of a bucket that is not there, when it is asked for one of its objects.
        try:
            with _store_errors():
                next(iter(obstore.list(self._store, chunk_size=1)), None)
        except _Missing:
            raise _no_store() from None

    def _part(self, key: str, start: int, end: int) -> obstore.Bytes:
        with _store_errors():
            return obstore.get_range(self._store, key, start=start, end=end)


def _no_store() -> StorageUnavailable:
    return StorageUnavailable(
        "the blob store is not there: the folder is not mounted, or the bucket does not exist (SIXPOINT_BLOBS_URL)",
        retry_after=_RETRY_S,
    )


@contextmanager
def _store_errors() -> Iterator[None]:
    try:
        yield
    except (NotFoundError, FileNotFoundError):
        # Which of the two, depends on the call.
        raise _Missing from None
    except BaseError as error:
        # Its own words name keys and addresses; only its kind is told.
        raise StorageUnavailable(
            f"the blob store cannot be used ({type(error).__name__}); try again", retry_after=_RETRY_S
        ) from None


def _store(url: str) -> _Store:
    scheme = urlsplit(url).scheme if "://" in url else ""
    if not scheme and url:
        return _Folder(Path(url).absolute())
    if scheme == "file":
        return _Folder(Path(unquote(urlsplit(url).path)))
    try:
        if scheme in _SCHEMES:
            return _Objects(from_url(url, retry_config=_RETRIES))
    except (BaseError, ValueError):
        # The URL itself may hold a secret.
        pass
    raise InvalidArgument(
        "the blob store's URL cannot be understood; expected a folder, s3://bucket/prefix, gs://bucket/prefix or "
        "az://container/prefix (SIXPOINT_BLOBS_URL)"
    )


def _checked(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise InvalidArgument("a blob's key is lower-case names with slashes between them")
    return key
