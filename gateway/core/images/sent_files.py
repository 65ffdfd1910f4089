"""Files that were sent in chunks, until an image is read from them."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections.abc import AsyncIterator
from concurrent.futures import Future
from pathlib import Path

from gateway.core.access import Principal
from gateway.core.images.stored_image import is_digest
from gateway.core.images.upload import Upload, UploadRunner
from gateway.core.images.upload_file import FileHeader, UploadFile
from gateway.core.images.upload_folder import UnfinishedLimits, UploadFolder
from gateway.core.runtime.fairness import FairExecutor
from gateway.core.runtime.process.disk_errors import disk_errors
from sixpoint.errors import ResourceExhausted, UploadError, Violation

__all__ = ["SentFiles"]

_HASH_BYTES = 8 * 2**20
_Locked = tuple[Path, int]


class SentFiles:
    """The files that somebody sends, each found by its sender and its SHA-256.

    They are uploads that nobody has finished: the same folder, quotas and limits hold for them, and they are removed
    when they were left alone for as long. A whole file is one that no more bytes have to come for.

    Args:
        folder: Files of uploads.
        uploads: Runs uploads.
        running: Paths of the files that calls of this process use.
        limits: Limits of the files that no upload writes to.
        threads: Runs what blocks.
    """

    def __init__(
        self,
        folder: UploadFolder,
        uploads: UploadRunner,
        *,
        running: set[Path],
        limits: UnfinishedLimits,
        threads: FairExecutor,
    ) -> None:
        self._folder = folder
        self._uploads = uploads
        self._running = running
        self._max_bytes = min(limits.owner, limits.total)
        self._threads = threads

    async def received(self, digest: str, *, principal: Principal) -> int:
        """Bytes of a file that have arrived from somebody: 0 if no upload of it was started."""
        if not is_digest(digest):
            return 0
        received = self._threads.submit(self._folder.received, digest, principal, is_file=True)
        return await asyncio.wrap_future(received)

    @contextlib.asynccontextmanager
    async def upload(self, header: FileHeader, *, principal: Principal, offset: int = 0) -> AsyncIterator[Upload[None]]:
        """Upload a file, or the rest of one. If the context ends early, the upload can be continued.

        Args:
            header: Header of the file.
            principal: Who uploads it, and whose quota is charged.
            offset: Bytes that arrived in earlier calls: 0 to start anew, or the result of :meth:`received`.

        Raises:
            UploadError: The digest is none, or more or fewer bytes have arrived than the offset says.
            ResourceExhausted: The file is too large.
            StorageFull: The quota of the disk, or of the owner, is spent.
            Unavailable: Another call uses this file.
        """
        _check(header.digest)
        if header.byte_count > self._max_bytes:
            raise ResourceExhausted(
                f"the file has {header.byte_count} bytes; in chunks at most {self._max_bytes} are accepted "
                "(SIXPOINT_OWNER_UNFINISHED_UPLOAD_BYTES, SIXPOINT_UNFINISHED_UPLOAD_BYTES); send it in one body"
            )
        async with self._uploads.run(header, offset=offset, principal=principal, store=_keep) as upload:
            yield upload

    @contextlib.asynccontextmanager
    async def open(self, digest: str, *, principal: Principal) -> AsyncIterator[Path]:
        """Yield the path of a whole file, which stays as it is; it is removed if the context ends without an error.

        Args:
            digest: SHA-256 of the file.
            principal: Who sent it.

        Raises:
            UploadError: There is no such file, or bytes of it are missing.
            Unavailable: Another call uses it.
        """
        _check(digest)
        path, number = await self._lock(digest, principal)
        # It is read by a call that stores an image: its bytes do not count twice.
        self._running.add(path)
        try:
            yield path
            with disk_errors():
                path.unlink(missing_ok=True)
        finally:
            self._running.discard(path)
            os.close(number)

    async def _lock(self, digest: str, principal: Principal) -> _Locked:
        locking = self._threads.submit(self._lock_whole, digest, principal)
        try:
            return await asyncio.wrap_future(locking)
        except asyncio.CancelledError:
            # The thread goes on, and nobody else would unlock the file.
            locking.add_done_callback(_unlock)
            raise

    def _lock_whole(self, digest: str, principal: Principal) -> _Locked:
        """Lock a whole file; returns its path and a file descriptor."""
        locked = self._folder.lock_file(digest, principal)
        if locked is None:
            raise UploadError(
                "no file with this SHA-256 has arrived from you, or it was used, or left alone for too long; send it",
                violations=(Violation("file", "SHA-256 of a file that was sent"),),
            )
        try:
            _check_whole(locked[1], digest)
        except BaseException:
            os.close(locked[1])
            raise
        return locked


def _check(digest: str) -> None:
    if not is_digest(digest):
        raise UploadError(
            "the name of the file is not a SHA-256; expected 64 characters of lower-case hex",
            violations=(Violation("digest", "64 characters 0-9 and a-f"),),
        )


def _check_whole(number: int, digest: str) -> None:
    """Refuse a file that is not whole: its size is in no record, but its SHA-256 tells."""
    content, offset = hashlib.sha256(), 0
    with disk_errors():
        while data := os.pread(number, _HASH_BYTES, offset):
            content.update(data)
            offset += len(data)
    if content.hexdigest() != digest:
        raise UploadError(
            f"{offset} bytes of this file have arrived, and it has more; send the rest",
            violations=(Violation("file", "SHA-256 of a file that arrived whole"),),
        )


async def _keep(file: UploadFile) -> None:
    """Leave a whole file where it is."""
    del file


def _unlock(locking: Future[_Locked]) -> None:
    if not locking.cancelled() and locking.exception() is None:
        os.close(locking.result()[1])
