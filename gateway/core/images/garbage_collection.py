"""What nobody uses any more: images and their blobs, uploads that nobody continues, files over the cache's budget."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from functools import partial
from typing import TypeVar

from gateway.core.images.disk_cache import DiskCache
from gateway.core.images.memory_cache import MemoryCache
from gateway.core.images.repository import BlobStore, ImageRepository, ImageWriter
from gateway.core.images.stored_image import blob_key, is_digest
from gateway.core.images.upload_files import UploadFolder
from sixpoint.errors import SixpointError

__all__ = ["GarbageCollector", "delete_orphan_blob"]

_Result = TypeVar("_Result")

_MOST = 100
# Images that a sweep fails to remove before it leaves the rest to the next: a store that is away holds up each of them.
_FAILURES = 3
# Before every image, as sweeps go through them: by when it was last used, then by digest.
_START = (0.0, "")
# The whole folder of blobs is looked through only this often.
_TIDY_S = 3600.0


class GarbageCollector:
    """Removes, a piece at a time.

    Args:
        repository: Transactions of images.
        blobs: Where their voxels are.
        cache: Files mapped for use.
        uploads: Files of uploads under way.
        at_hand: The images in memory.
        threads: For what touches the disk.
        idle: Seconds after which what nobody used is removed.
        now: The clock, seconds since 1970.
    """

    def __init__(
        self,
        *,
        repository: ImageRepository,
        blobs: BlobStore,
        cache: DiskCache,
        uploads: UploadFolder,
        at_hand: MemoryCache,
        threads: Executor,
        idle: float,
        now: Callable[[], float],
    ) -> None:
        self._repository = repository
        self._blobs = blobs
        self._cache = cache
        self._uploads = uploads
        self._at_hand = at_hand
        self._threads = threads
        self._idle = idle
        self._now = now
        self._swept = _START
        self._tidy_due = now()

    async def run(self) -> int:
        """Sweep once: what cannot be removed keeps nothing else from being so.

        Returns:
            How many images were removed.

        Raises:
            StorageUnavailable: When something could not be removed, or the database not be reached: the first such
                error, after all else was removed.
        """
        before = self._now() - self._idle
        failures: list[SixpointError] = []
        removed = 0
        with _collected(failures):
            removed = await self._remove_some(before, failures)
        with _collected(failures):
            for name in await self._in_thread(lambda: self._uploads.expire(idle=self._idle)):
                # Its gateway may have been killed after the blob was put, and before it was recorded.
                if is_digest(name):
                    with _collected(failures):
                        await self._repository.write(partial(delete_orphan_blob, blobs=self._blobs, digest=name))
        if self._now() > self._tidy_due:
            self._tidy_due = self._now() + _TIDY_S
            with _collected(failures):
                await self._blobs.tidy(before)
        with _collected(failures):
            await self._in_thread(self._cache.trim)
        for digest in self._at_hand.digests():
            if not self._cache.holds(digest):
                # Its disk space is free only when nobody has it mapped.
                self._at_hand.drop(digest)
        if failures:
            raise failures[0]
        return removed

    async def _remove_some(self, before: float, failures: list[SixpointError]) -> int:
        """Remove images last used before a time, from where the last sweep ended; how many. Failures are added."""
        removed, after = 0, self._swept
        found = await self._repository.read(
            lambda records: records.list_unused(before=before, after=after, limit=_MOST)
        )
        for used_at, digest in found:
            self._swept = used_at, digest
            with _collected(failures):
                if await self._repository.write(partial(self._remove_unused, digest=digest, before=before)):
                    removed += 1
                    self._at_hand.drop(digest)
                    await self._in_thread(partial(self._cache.remove, digest))
            if len(failures) == _FAILURES:
                break
        else:
            if len(found) < _MOST:
                self._swept = _START
        return removed

    def _remove_unused(self, records: ImageWriter, *, digest: str, before: float) -> bool:
        records.lock_image(digest)
        removed = records.delete_if_unused(digest, before=before)
        if removed:
            # Within the transaction: an upload of the same image waits, and then sees that its blob is gone.
            self._blobs.delete_blocking(blob_key(digest))
        return removed

    def _in_thread(self, work: Callable[[], _Result]) -> asyncio.Future[_Result]:
        return asyncio.get_running_loop().run_in_executor(self._threads, work)


def delete_orphan_blob(records: ImageWriter, *, blobs: BlobStore, digest: str) -> None:
    """Remove the blob of an image, if the image is not there."""
    records.lock_image(digest)
    if records.image(digest) is None:
        blobs.delete_blocking(blob_key(digest))


@contextlib.contextmanager
def _collected(failures: list[SixpointError]) -> Iterator[None]:
    try:
        yield
    except SixpointError as error:
        failures.append(error)
