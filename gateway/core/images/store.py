"""The images that the gateway keeps: taken in, found by their digest, mapped for use, removed when nobody uses them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from gateway.core.images.disk_cache import DiskCache
from gateway.core.images.garbage_collection import GarbageCollector, delete_orphan_blob
from gateway.core.images.memory_cache import MemoryCache
from gateway.core.images.quota import ImageLimits, Quota, used_bytes
from gateway.core.images.records import ImageRecord
from gateway.core.images.repository import BlobStore, ImageRepository, ImageWriter
from gateway.core.images.stored_image import ImageHeader, StoredImage, blob_key, check_header, is_digest
from gateway.core.images.upload import Upload
from gateway.core.images.upload_files import UploadFile, UploadFolder
from gateway.core.runtime.disk_errors import disk_errors
from sixpoint.errors import ImageNotFound, InvalidArgument, ResourceExhausted, Unavailable
from sixpoint.io.atomic_files import temporary_path

__all__ = ["ImageHeader", "ImageLimits", "ImageStore", "StoredImage"]

_log = logging.getLogger(__name__)
_Result = TypeVar("_Result")

_THREADS = 4
# Use is noted only this often: most calls should not cost a write.
_TOUCH_S = 3600.0


class ImageStore:
    """All images.

    Args:
        repository: Transactions of images.
        blobs: Where their voxels are.
        folder: For uploads under way and for files mapped for use; gateways on one machine may share it.
        limits: Bounds on what is kept.
        now: The clock, seconds since 1970.
    """

    def __init__(
        self,
        *,
        repository: ImageRepository,
        blobs: BlobStore,
        folder: Path,
        limits: ImageLimits,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._repository = repository
        self._blobs = blobs
        self._limits = limits
        self._now = now
        self._folders = folder / "images", folder / "uploads"
        self._cache = DiskCache(self._folders[0], budget=limits.cache)
        self._uploads = UploadFolder(self._folders[1])
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="images")
        self._room = Quota(limits)
        self._at_hand = MemoryCache(budget=limits.memory, now=now)
        self._opening: dict[str, asyncio.Task[StoredImage]] = {}
        self._running: set[Path] = set()
        self._sweep = GarbageCollector(
            repository=repository,
            blobs=blobs,
            cache=self._cache,
            uploads=self._uploads,
            at_hand=self._at_hand,
            threads=self._threads,
            idle=limits.idle,
            now=now,
        )

    async def start(self) -> None:
        """Make the folders.

        Raises:
            StorageUnavailable: When they cannot be made.
        """
        with disk_errors():
            for folder in self._folders:
                folder.mkdir(parents=True, exist_ok=True)

    async def stop(self) -> None:
        """Wait for what is running."""
        await asyncio.to_thread(self._threads.shutdown)

    async def describe(self, digest: str) -> ImageRecord:
        """The record of an image, which is used now.

        Raises:
            ImageNotFound: When it is not here.
        """
        record = await self._find(digest)
        if record is None:
            raise ImageNotFound("no image with this digest is here; upload it first")
        await self._touch(record)
        return record

    async def open(self, digest: str) -> StoredImage:
        """An image at hand: from memory, else from its file, else from the blob store, its SHA-256 checked.

        Raises:
            ImageNotFound: When it is not here, or is damaged: then it is removed, so that it can be uploaded again.
            StorageFull: When the disk is full.
            StorageUnavailable: When the database or the blob store cannot be reached.
        """
        found = self._at_hand.get(digest)
        if found is not None and self._cache.holds(digest):
            image, due = found
            if due:
                self._cache.touch(digest)
                await self.describe(digest)
            return image
        self._at_hand.drop(digest)
        # Whoever asks while it is fetched waits for the same fetch, which goes on if one of them leaves.
        opening = self._opening.get(digest)
        if opening is None:
            opening = asyncio.create_task(self._fetch(digest))
            self._opening[digest] = opening
            opening.add_done_callback(lambda task: self._opened(digest, task))
        return await asyncio.shield(opening)

    async def received(self, digest: str) -> int:
        """Bytes of an image that have arrived: all of one that is here, 0 of one that nobody began to upload."""
        if not is_digest(digest):
            return 0
        record = await self._find(digest)
        return record.byte_count if record is not None else await self._in_thread(self._uploads.received, digest)

    @contextlib.asynccontextmanager
    async def upload(self, header: ImageHeader, *, offset: int = 0, owner: str = "") -> AsyncIterator[Upload]:
        """Take an image in, or the rest of one. What has arrived when the context ends early can be continued.

        Args:
            header: What is announced.
            offset: Bytes that arrived before: 0, or what :meth:`received` said.
            owner: Whose it is.

        Raises:
            VolumeError: When the header describes no usable volume.
            UploadError: When it contradicts itself, or the offset is another.
            ResourceExhausted: When the image is too large.
            StorageFull: When the budget of the disk, or of the owner, is spent.
        """
        check_header(header)
        self._room.check_size(header)
        known = await self._find(header.digest)
        if known is not None:
            yield Upload(
                header, offset=offset, file=None, keep=lambda: self.describe(header.digest), threads=self._threads
            )
            return
        with self._room.reserve(header, owner=owner, others=await self._used(header, owner)):
            file = await self._claim(header, offset=offset)
            self._running.add(file.path)
            remove = False
            upload = Upload(
                header,
                offset=offset,
                file=file,
                keep=lambda: self._keep(header, file, owner=owner),
                threads=self._threads,
            )
            try:
                yield upload
            except (InvalidArgument, ResourceExhausted):
                remove = not upload.ended_early
                raise
            finally:
                self._running.discard(file.path)
                # It may still wait for a thread when the call is cancelled: nobody else would close the file.
                await asyncio.shield(self._in_thread(lambda: file.close(remove=remove)))

    async def expire(self) -> int:
        """As :meth:`Sweep.run`."""
        return await self._sweep.run()

    async def _find(self, digest: str) -> ImageRecord | None:
        return await self._repository.read(lambda records: records.image(digest)) if is_digest(digest) else None

    async def _touch(self, record: ImageRecord) -> None:
        now = self._now()
        if now - record.used > min(_TOUCH_S, self._limits.idle / 10):
            await self._repository.write(lambda records: records.touch_image(record.digest, now=now))

    async def _fetch(self, digest: str) -> StoredImage:
        record = await self.describe(digest)
        image = await self._in_thread(self._cache.open, record)
        if image is None:
            temporary = temporary_path(self._cache.path(digest))
            if await self._blobs.get_to_file(blob_key(digest), temporary):
                image = await self._in_thread(self._cache.take, record, temporary)
                await self._in_thread(self._cache.trim)
        if image is None:
            _log.error("an image's blob is gone or damaged; it is removed, and has to be uploaded again")
            await self._repository.write(lambda records: self._remove(records, record))
            raise ImageNotFound("the image was damaged on the gateway's disk and is gone; upload it again")
        self._at_hand.put(image)
        return image

    def _opened(self, digest: str, task: asyncio.Task[StoredImage]) -> None:
        self._opening.pop(digest, None)
        if not task.cancelled():
            # Seen, even if everybody who asked has left.
            task.exception()

    async def _used(self, header: ImageHeader, owner: str) -> tuple[int, int]:
        total, owned = await self._repository.read(lambda records: used_bytes(records, owner))
        # What is left of uploads that ended early takes room, too; this image's own will be written on.
        counted = {*self._running, self._uploads.path(header.digest)}
        return total + await self._in_thread(lambda: self._uploads.nbytes(besides=counted)), owned

    async def _claim(self, header: ImageHeader, *, offset: int) -> UploadFile:
        claiming = self._threads.submit(self._uploads.claim, header, offset=offset)
        try:
            return await asyncio.wrap_future(claiming)
        except asyncio.CancelledError:
            # The thread goes on, and nobody else would let go of the file that it locks.
            claiming.add_done_callback(_let_go)
            raise

    async def _keep(self, header: ImageHeader, file: UploadFile, *, owner: str) -> ImageRecord:
        key, now = blob_key(header.digest), self._now()
        record = ImageRecord(
            header.digest, header.geometry, header.voxel_type, header.byte_count, owner=owner, created=now, used=now
        )

        def work(records: ImageWriter) -> ImageRecord:
            records.lock_image(record.digest)
            if records.image(record.digest) is None:
                self._room.check_before_insert(records, record.byte_count, owner=owner)
            return records.add_image(record)

        await self._blobs.put_file(key, file.path)
        try:
            kept = await self._repository.write(work)
        except ResourceExhausted:
            with contextlib.suppress(ResourceExhausted, Unavailable):
                await self._repository.write(partial(delete_orphan_blob, blobs=self._blobs, digest=record.digest))
            raise
        # Somebody may have removed an older record of it, with the blob, just before.
        if await self._blobs.size(key) != record.byte_count:
            await self._blobs.put_file(key, file.path)
        await self._in_thread(self._cache.add, record.digest, file.path)
        return kept

    def _remove(self, records: ImageWriter, record: ImageRecord) -> None:
        records.lock_image(record.digest)
        if records.delete_image(record):
            self._blobs.delete_blocking(blob_key(record.digest))

    def _in_thread(self, work: Callable[..., _Result], *given: object) -> asyncio.Future[_Result]:
        return asyncio.get_running_loop().run_in_executor(self._threads, work, *given)


def _let_go(claiming: Future[UploadFile]) -> None:
    if not claiming.cancelled() and claiming.exception() is None:
        claiming.result().close(remove=False)
