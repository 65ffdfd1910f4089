"""Open images for use: from memory, else from the cache on the disk, else from the blob store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor

from gateway.core.images.disk_cache import DiskCache
from gateway.core.images.memory_cache import MemoryCache
from gateway.core.images.records import ImageKey, ImageRecord
from gateway.core.images.repository import BlobStore
from gateway.core.images.stored_image import StoredImage
from sixpoint.io.atomic_files import temporary_path

__all__ = ["ImageOpener"]


class ImageOpener:
    """Opens images; calls that open the same one at once share the work.

    Args:
        describe: Finds the record of an image, which is use.
        discard: Removes an image whose voxels are damaged, and raises ImageNotFound.
        blobs: Voxels of the images.
        disk_cache: Files of images in use.
        memory_cache: Images in memory.
        threads: Runs what blocks.
    """

    def __init__(
        self,
        *,
        describe: Callable[[ImageKey], Awaitable[ImageRecord]],
        discard: Callable[[ImageRecord], Awaitable[StoredImage]],
        blobs: BlobStore,
        disk_cache: DiskCache,
        memory_cache: MemoryCache,
        threads: Executor,
    ) -> None:
        self._describe = describe
        self._discard = discard
        self._blobs = blobs
        self._disk_cache = disk_cache
        self._memory_cache = memory_cache
        self._threads = threads
        self._opening: dict[ImageKey, asyncio.Task[StoredImage]] = {}

    async def open(self, key: ImageKey) -> StoredImage:
        """Open an image: see :meth:`gateway.core.images.ImageStore.open`."""
        cached = self._memory_cache.get(key)
        if cached is not None and self._disk_cache.holds(key):
            image, due = cached
            if due:
                self._disk_cache.touch(key)
                await self._describe(key)
            return image
        self._memory_cache.drop(key)
        # Concurrent calls share one fetch, which goes on if one of them is cancelled.
        opening = self._opening.get(key)
        if opening is None:
            opening = asyncio.create_task(self._fetch(key))
            self._opening[key] = opening
            opening.add_done_callback(lambda task: self._opened(key, task))
        return await asyncio.shield(opening)

    async def _fetch(self, key: ImageKey) -> StoredImage:
        loop = asyncio.get_running_loop()
        record = await self._describe(key)
        image = await loop.run_in_executor(self._threads, self._disk_cache.open, record)
        if image is None:
            temporary = temporary_path(self._disk_cache.path(key))
            if await self._blobs.get_to_file(key.blob, temporary):
                image = await loop.run_in_executor(self._threads, self._disk_cache.take, record, temporary)
                await loop.run_in_executor(self._threads, self._disk_cache.trim)
        if image is None:
            return await self._discard(record)
        self._memory_cache.put(key, image)
        return image

    def _opened(self, key: ImageKey, task: asyncio.Task[StoredImage]) -> None:
        self._opening.pop(key, None)
        if not task.cancelled():
            # Retrieved even if all callers were cancelled, or asyncio would log it.
            task.exception()
