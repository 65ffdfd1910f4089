"""The store of images: upload, describe and open them, and remove those that nobody uses."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from gateway.core.access import NO_AUDIT, Action, AuditEntry, Auditor, Principal, gateway_itself
from gateway.core.images.disk_cache import DiskCache
from gateway.core.images.garbage_collection import GarbageCollector, delete_orphan_blob
from gateway.core.images.memory_cache import MemoryCache
from gateway.core.images.opening import ImageOpener
from gateway.core.images.quota import ImageLimits, Quota
from gateway.core.images.records import ImageKey, ImageRecord
from gateway.core.images.repository import BlobStore, ImageMaintenance, ImageRepository, ImageWriter
from gateway.core.images.sent_files import SentFiles
from gateway.core.images.stored_image import ImageHeader, StoredImage, check_header, is_digest
from gateway.core.images.unrecorded import report_unrecorded
from gateway.core.images.upload import Upload, UploadRunner
from gateway.core.images.upload_file import UploadFile
from gateway.core.images.upload_folder import UploadFolder
from gateway.core.runtime.fairness import FairExecutor
from gateway.core.runtime.process.disk_errors import disk_errors
from gateway.core.runtime.process.private_files import make_private_folder
from sixpoint.errors import ImageNotFound, ResourceExhausted, Unavailable

__all__ = ["ImageStore"]

_log = logging.getLogger(__name__)
_Result = TypeVar("_Result")

_THREADS = 4
# The use of an image is stored only this often, as most calls should not cost a write.
_TOUCH_S = 3600.0


class ImageStore:
    """All images of a gateway.

    Args:
        repository: Transactions of images.
        maintenance: Transactions on the images of all tenants.
        blobs: Voxels of the images.
        folder: Folder of running uploads and cached files; gateways on one machine may share it.
        limits: Limits of images and caches.
        auditor: Takes notes of images that are looked up.
        now: Clock, in seconds since 1970.

    Attributes:
        sent_files: Files that images will be read from.
    """

    def __init__(
        self,
        *,
        repository: ImageRepository,
        maintenance: ImageMaintenance,
        blobs: BlobStore,
        folder: Path,
        limits: ImageLimits,
        auditor: Auditor = NO_AUDIT,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._repository = repository
        self._maintenance = maintenance
        self._blobs = blobs
        self._limits = limits
        self._auditor = auditor
        self._now = now
        self._folders = folder / "images", folder / "uploads"
        self._disk_cache = DiskCache(self._folders[0], budget=limits.cache)
        self._uploads = UploadFolder(self._folders[1], limits.unfinished)
        self._threads = FairExecutor(_THREADS, thread_name_prefix="images")
        self._quota = Quota(limits)
        self._memory_cache = MemoryCache(budget=limits.memory, now=now)
        self._running: set[Path] = set()
        self._opener = ImageOpener(
            describe=self._describe,
            discard=self._discard,
            blobs=blobs,
            disk_cache=self._disk_cache,
            memory_cache=self._memory_cache,
            threads=self._threads,
        )
        self._collector = GarbageCollector(
            repository=repository,
            maintenance=maintenance,
            blobs=blobs,
            disk_cache=self._disk_cache,
            uploads=self._uploads,
            running=self._running,
            memory_cache=self._memory_cache,
            threads=self._threads,
            idle=limits.idle,
            now=now,
        )
        self._upload_runner = UploadRunner(
            repository=repository,
            folder=self._uploads,
            running=self._running,
            quota=self._quota,
            trim=lambda own: self._collector.trim_uploads(besides=own),
            threads=self._threads,
        )
        self.sent_files = SentFiles(
            self._uploads, self._upload_runner, running=self._running, limits=limits.unfinished, threads=self._threads
        )

    async def start(self) -> None:
        """Create the folders.

        Raises:
            StorageUnavailable: The folders cannot be created.
        """
        with disk_errors():
            for folder in self._folders:
                make_private_folder(folder)

    async def stop(self) -> None:
        """Wait for running work on files."""
        await asyncio.to_thread(self._threads.shutdown)

    async def report_unrecorded(self) -> None:
        """Log a warning if there are blobs that the database does not know."""
        await report_unrecorded(self._maintenance, self._blobs)

    async def describe(self, digest: str, *, principal: Principal) -> ImageRecord:
        """Return the record of an image; that is use.

        Raises:
            ImageNotFound: There is no such image.
        """
        record = await self._describe(ImageKey(principal.tenant, digest))
        self._auditor.note(AuditEntry(principal, Action.READ_IMAGE, digest))
        return record

    async def open(self, digest: str, *, tenant: str) -> StoredImage:
        """Open a tenant's image: from memory, else from its file, else from the blob store, with its SHA-256 checked.

        Raises:
            ImageNotFound: There is no such image, or it is damaged and thus removed, so that it can be uploaded again.
            StorageFull: The disk is full.
            StorageUnavailable: The database or the blob store cannot be reached.
        """
        return await self._opener.open(ImageKey(tenant, digest))

    async def received(self, digest: str, *, principal: Principal) -> int:
        """Bytes of an image that have arrived from somebody: all if it is stored, 0 if no upload of it was started."""
        if not is_digest(digest):
            return 0
        record = await self._find(ImageKey(principal.tenant, digest))
        if record is not None:
            return record.byte_count
        return await self._in_thread(self._uploads.received, digest, principal)

    @contextlib.asynccontextmanager
    async def upload(
        self, header: ImageHeader, *, principal: Principal, offset: int = 0
    ) -> AsyncIterator[Upload[ImageRecord]]:
        """Upload an image, or the rest of one. If the context ends early, the upload can be continued.

        Args:
            header: Header of the image.
            principal: Who uploads it, and whose quota is charged.
            offset: Bytes that arrived in earlier calls: 0 to start anew, or the result of :meth:`received`.

        Raises:
            VolumeError: The header describes no usable volume.
            UploadError: The header contradicts itself, or more or fewer bytes have arrived than the offset says.
            ResourceExhausted: The image is too large.
            StorageFull: The quota of the disk, or of the owner, is spent.
        """
        check_header(header)
        self._quota.check_size(header)
        if await self._find(ImageKey(principal.tenant, header.digest)) is not None:
            known = partial(self.describe, header.digest, principal=principal)
            yield Upload(header, offset=offset, file=None, reserve=_nothing, store=known, threads=self._threads)
            return
        store = partial(self._store, header, principal=principal)
        async with self._upload_runner.run(header, offset=offset, principal=principal, store=store) as upload:
            yield upload

    async def byte_total(self) -> int:
        """Return the bytes of voxels of all images."""
        return await self._maintenance.read(lambda records: records.byte_total_of_all())

    async def expire(self) -> int:
        """Remove what nobody uses: see :meth:`GarbageCollector.run`."""
        return await self._collector.run()

    async def remove_unused(self, digest: str, *, principal: Principal) -> bool:
        """Remove an image unless a dataset or an open session uses it; return whether it was removed."""
        return await self._collector.remove(ImageKey(principal.tenant, digest), principal=principal)

    async def _find(self, key: ImageKey) -> ImageRecord | None:
        if not is_digest(key.digest):
            return None
        return await self._repository.read(lambda records: records.image(key.digest), tenant=key.tenant)

    async def _describe(self, key: ImageKey) -> ImageRecord:
        record = await self._find(key)
        if record is None:
            raise ImageNotFound("no image has this digest; upload it first")
        now = self._now()
        if now - record.used > min(_TOUCH_S, self._limits.idle / 10):
            await self._repository.write(lambda records: records.touch_image(key.digest, now=now), tenant=key.tenant)
        return record

    async def _discard(self, record: ImageRecord) -> StoredImage:
        _log.error("the blob of an image is missing or damaged; the image is removed, and has to be uploaded again")
        await self._repository.write(lambda records: self._remove(records, record), tenant=record.tenant)
        raise ImageNotFound("the image was damaged on the gateway's disk and is removed; upload it again")

    async def _store(self, header: ImageHeader, file: UploadFile, *, principal: Principal) -> ImageRecord:
        tenant, owner, now = principal.tenant, principal.subject, self._now()
        key = ImageKey(tenant, header.digest)
        record = ImageRecord(*key, header.geometry, header.voxel_type, header.byte_count, owner, created=now, used=now)

        def work(records: ImageWriter) -> ImageRecord:
            records.lock_image(record.digest)
            if records.image(record.digest) is None:
                self._quota.check_before_insert(records, record.byte_count, owner=owner)
            stored = records.add_image(record)
            records.audit(AuditEntry(principal, Action.UPLOAD_IMAGE, record.digest))
            return stored

        # A blob that is there without a record stays: a newer copy of the database may have its record.
        is_new = await self._blobs.size(key.blob) is None
        await self._blobs.put_file(key.blob, file.path)
        try:
            stored = await self._repository.write(work, tenant=tenant)
        except ResourceExhausted:
            if is_new:
                with contextlib.suppress(ResourceExhausted, Unavailable):
                    delete = partial(delete_orphan_blob, blobs=self._blobs, key=key)
                    await self._repository.write(delete, tenant=tenant)
            raise
        # An older record of this image may have been removed just before, together with the blob.
        if await self._blobs.size(key.blob) != record.byte_count:
            await self._blobs.put_file(key.blob, file.path)
        await self._in_thread(self._disk_cache.add, key, file.path)
        return stored

    def _remove(self, records: ImageWriter, record: ImageRecord) -> None:
        records.lock_image(record.digest)
        if records.delete_image(record):
            self._blobs.delete_blocking(record.key.blob)
            records.audit(AuditEntry(gateway_itself(record.tenant), Action.REMOVE_IMAGE, record.digest))

    def _in_thread(self, work: Callable[..., _Result], *given: object) -> asyncio.Future[_Result]:
        return asyncio.get_running_loop().run_in_executor(self._threads, work, *given)


async def _nothing(end: int) -> int:
    """Reserve nothing, for an image that is stored already."""
    return end
