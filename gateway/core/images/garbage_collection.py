"""Remove what nobody uses: images and their blobs, abandoned uploads, and files over the budget of the cache."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Callable, Iterator, Set
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import TypeVar

from gateway.core.access import Action, AuditEntry, Principal, gateway_itself
from gateway.core.images.disk_cache import DiskCache
from gateway.core.images.memory_cache import MemoryCache
from gateway.core.images.records import ImageKey
from gateway.core.images.repository import BlobStore, ImageMaintenance, ImageRepository, ImageWriter
from gateway.core.images.upload_folder import UploadFolder
from sixpoint.errors import SixpointError

__all__ = ["GarbageCollector", "delete_orphan_blob"]

_log = logging.getLogger(__name__)
_Result = TypeVar("_Result")

# Images that one run looks at.
_MAX_IMAGES = 100
# Failures after which a run leaves the other images to the next one: each waits for a store that is away.
_MAX_FAILURES = 3
# Before all images, in the order of their last use, then of their tenants and digests.
_START = (0.0, "", "")
# All blobs are looked at only this often.
_TIDY_S = 3600.0


class GarbageCollector:
    """Removes what nobody uses, a part at each run.

    Args:
        repository: Transactions of images.
        maintenance: Transactions on the images of all tenants.
        blobs: Voxels of the images.
        disk_cache: Files of images in use.
        memory_cache: Images in memory.
        uploads: Files of uploads.
        running: Paths of the files that uploads of this process write to.
        threads: Runs what blocks.
        idle: Seconds after which something unused is removed.
        now: Clock, in seconds since 1970.
    """

    def __init__(
        self,
        *,
        repository: ImageRepository,
        maintenance: ImageMaintenance,
        blobs: BlobStore,
        disk_cache: DiskCache,
        memory_cache: MemoryCache,
        uploads: UploadFolder,
        running: Set[Path],
        threads: Executor,
        idle: float,
        now: Callable[[], float],
    ) -> None:
        self._repository = repository
        self._maintenance = maintenance
        self._blobs = blobs
        self._disk_cache = disk_cache
        self._memory_cache = memory_cache
        self._uploads = uploads
        self._running = running
        self._threads = threads
        self._idle = idle
        self._now = now
        self._position = _START
        self._tidy_due = now()

    async def run(self) -> int:
        """Collect once. Something that cannot be removed does not stop the removal of the rest.

        Returns:
            Number of images that were removed.

        Raises:
            StorageUnavailable: Something could not be removed, or the database not be reached. It is the first such
                error, raised after all else was removed.
        """
        before = self._now() - self._idle
        failures: list[SixpointError] = []
        removed = 0
        with _collected(failures):
            removed = await self._remove_images(before, failures)
        with _collected(failures):
            await self._trim_uploads(set(), failures)
        if self._now() > self._tidy_due:
            self._tidy_due = self._now() + _TIDY_S
            with _collected(failures):
                await self._blobs.tidy(before)
        with _collected(failures):
            await self._in_thread(self._disk_cache.trim)
        for key in self._memory_cache.images():
            if not self._disk_cache.holds(key):
                # The space of a removed file is free only when no process has it mapped.
                self._memory_cache.drop(key)
        if failures:
            raise failures[0]
        return removed

    async def remove(self, key: ImageKey, *, principal: Principal) -> bool:
        """Remove an image if nobody uses it, however recently somebody did; return whether it was removed.

        Raises:
            StorageUnavailable: The database or the blob store cannot be reached.
        """
        return await self._remove(key, before=math.inf, principal=principal)

    async def trim_uploads(self, *, besides: Path) -> None:
        """Remove unfinished uploads beyond their limits, but for one that is about to be continued."""
        # What could not be removed is reported by the next run.
        failures: list[SixpointError] = []
        with _collected(failures):
            await self._trim_uploads({besides}, failures)

    async def _remove_images(self, before: float, failures: list[SixpointError]) -> int:
        """Remove images last used before a time, from where the last run stopped; return their number."""
        removed, after = 0, self._position
        unused = await self._maintenance.read(
            lambda records: records.list_unused(before=before, after=after, limit=_MAX_IMAGES)
        )
        for used, tenant, digest in unused:
            self._position, key = (used, tenant, digest), ImageKey(tenant, digest)
            with _collected(failures):
                removed += await self._remove(key, before=before, principal=gateway_itself(tenant))
            if len(failures) == _MAX_FAILURES:
                break
        else:
            if len(unused) < _MAX_IMAGES:
                self._position = _START
        return removed

    async def _remove(self, key: ImageKey, *, before: float, principal: Principal) -> bool:
        remove = partial(self._remove_if_unused, key=key, before=before, principal=principal)
        removed = await self._repository.write(remove, tenant=key.tenant)
        if removed:
            self._memory_cache.drop(key)
            await self._in_thread(partial(self._disk_cache.remove, key))
        return removed

    async def _trim_uploads(self, besides: set[Path], failures: list[SixpointError]) -> None:
        ignored = besides | self._running
        for key, size in await self._in_thread(lambda: self._uploads.trim(besides=ignored)):
            with _collected(failures):
                await self._remove_unrecorded(key, size)

    async def _remove_unrecorded(self, key: ImageKey, size: int) -> None:
        """Remove the blob of an upload, if a gateway was killed after it stored that, and before it recorded the image.

        An upload of fewer bytes stored no blob: one that is there was stored before. Its record may be in a newer copy
        of the database, which the operator restores.
        """
        if await self._blobs.size(key.blob) == size:
            delete = partial(delete_orphan_blob, blobs=self._blobs, key=key)
            removed = await self._repository.write(delete, tenant=key.tenant)
            if removed:
                _log.info("removed a blob without a record, with the upload that it was of", extra={"bytes": size})

    def _remove_if_unused(self, records: ImageWriter, *, key: ImageKey, before: float, principal: Principal) -> bool:
        records.lock_image(key.digest)
        removed = records.delete_if_unused(key.digest, before=before)
        if removed:
            # Within the transaction: an upload of the same image waits for it, and then finds the blob missing.
            self._blobs.delete_blocking(key.blob)
            # Last: all changes of the tenant wait for this one's entry, and a bucket may take its time.
            records.audit(AuditEntry(principal, Action.REMOVE_IMAGE, key.digest))
        return removed

    def _in_thread(self, work: Callable[[], _Result]) -> asyncio.Future[_Result]:
        return asyncio.get_running_loop().run_in_executor(self._threads, work)


def delete_orphan_blob(records: ImageWriter, *, blobs: BlobStore, key: ImageKey) -> bool:
    """Delete the blob of an image that has no record; return whether it has none."""
    records.lock_image(key.digest)
    if records.image(key.digest) is not None:
        return False
    blobs.delete_blocking(key.blob)
    return True


@contextlib.contextmanager
def _collected(failures: list[SixpointError]) -> Iterator[None]:
    try:
        yield
    except SixpointError as error:
        failures.append(error)
