"""Uploads: each has a file, and room on the disk that is reserved for it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Generic, TypeVar

from gateway.core.access import Principal
from gateway.core.images.quota import Quota, Reservation, used_bytes
from gateway.core.images.repository import ImageRepository
from gateway.core.images.upload_file import UploadFile, UploadHeader
from gateway.core.images.upload_folder import UploadFolder
from gateway.core.runtime.fairness import FairExecutor
from sixpoint.errors import InvalidArgument, ResourceExhausted, UploadError

__all__ = ["Upload", "UploadRunner"]

_Stored = TypeVar("_Stored")

# Bytes of an upload that are in memory: being written and hashed, waiting, or arriving; or one chunk that is larger.
_MAX_UNWRITTEN_BYTES = 4 * 2**20
# Bytes that a running upload reserves ahead of those that have arrived.
_MIN_AHEAD_BYTES, _MAX_AHEAD_BYTES = 16 * 2**20, 64 * 2**20


class Upload(Generic[_Stored]):
    """Takes the bytes of an upload, and writes and hashes them on a worker thread while more arrive.

    Args:
        header: What the upload announces.
        offset: Bytes that arrived in earlier calls.
        file: File to write to; None if the image is stored already, and its bytes are only counted.
        reserve: Reserves space on the disk for this many bytes of the upload; returns how many are reserved, which may
            be more.
        store: Stores what was uploaded once its file is whole and checked.
        threads: Runs what blocks.

    Attributes:
        received: Bytes that have arrived, those of earlier calls included.
        ended_early: Whether bytes are missing at the end of the call; the upload can then be continued.
    """

    def __init__(
        self,
        header: UploadHeader,
        *,
        offset: int,
        file: UploadFile | None,
        reserve: Callable[[int], Awaitable[int]],
        store: Callable[[], Awaitable[_Stored]],
        threads: Executor,
    ) -> None:
        self._header = header
        self._file = file
        self._reserve = reserve
        self._reserved = offset
        self._store = store
        self._threads = threads
        self._waiting = 0
        self._writing = 0
        self._job: asyncio.Future[None] | None = None
        self.received = offset
        self.ended_early = False

    async def write(self, chunk: bytes | memoryview) -> None:
        """Take the next bytes.

        Raises:
            UploadError: More bytes arrived than were announced.
            StorageFull: The disk is full, or a quota is spent.
        """
        end = self.received + len(chunk)
        if end > self._header.byte_count:
            raise UploadError(f"the header announced {self._header.byte_count} bytes, at least {end} arrived")
        if self._file is None:
            self.received = end
            return
        if end > self._reserved:
            self._reserved = await self._reserve(end)
        self.received = end
        self._file.add(chunk)
        self._waiting += len(chunk)
        if self._job is None or self._job.done():
            await self._start_job()
        # Room for a next chunk of this size: a large one is written before another one arrives.
        while self._waiting + self._writing + len(chunk) > _MAX_UNWRITTEN_BYTES and self._job is not None:
            await self._start_job()

    async def _start_job(self) -> None:
        """Wait for the running job, and let a thread write and hash what waits."""
        if self._job is not None:
            await self._job
            self._job, self._writing = None, 0
        if self._waiting and self._file is not None:
            self._writing, self._waiting = self._waiting, 0
            self._job = asyncio.get_running_loop().run_in_executor(self._threads, self._file.advance)
            # Retrieved even if the call ends first, or asyncio would log it.
            self._job.add_done_callback(lambda job: job.cancelled() or job.exception())

    async def finish(self) -> _Stored:
        """Check what was uploaded, and store it durably.

        Raises:
            UploadError: Bytes are missing; they can be sent in another call.
            ChecksumMismatch: The bytes are not those announced.
            VolumeError: Voxels are NaN or infinite.
            StorageFull: The disk is full, or a quota is spent.
            StorageUnavailable: The database or the blob store cannot be reached.
        """
        if self._job is not None:
            await self._job
        self.ended_early = self.received != self._header.byte_count
        if self.ended_early:
            raise UploadError(
                f"the upload ended early: {self.received} of {self._header.byte_count} bytes of "
                "voxels arrived; send the rest (GetUpload says from where), or send it again"
            )
        if self._file is not None:
            await asyncio.get_running_loop().run_in_executor(self._threads, self._file.complete)
        return await self._store()


class UploadRunner:
    """Runs uploads of images and files.

    Args:
        repository: Transactions of images, which quotas count.
        folder: Files of uploads.
        running: Paths of the files that uploads of this process write to.
        quota: Quotas of the disk.
        trim: Function that removes old files of uploads but one.
        threads: Runs what blocks.
    """

    def __init__(
        self,
        *,
        repository: ImageRepository,
        folder: UploadFolder,
        running: set[Path],
        quota: Quota,
        trim: Callable[[Path], Awaitable[None]],
        threads: FairExecutor,
    ) -> None:
        self._repository = repository
        self._folder = folder
        self._running = running
        self._quota = quota
        self._trim = trim
        self._threads = threads

    @contextlib.asynccontextmanager
    async def run(
        self,
        header: UploadHeader,
        *,
        offset: int,
        principal: Principal,
        store: Callable[[UploadFile], Awaitable[_Stored]],
    ) -> AsyncIterator[Upload[_Stored]]:
        """Run an upload, or the rest of one. If the context ends early, the upload can be continued.

        Args:
            header: What it announces.
            offset: Bytes that arrived in earlier calls; 0 to start anew.
            principal: Who uploads, and whose quota is charged.
            store: Stores what was uploaded once its file is whole and checked.

        Raises:
            UploadError: More or fewer bytes have arrived than the offset says.
            StorageFull: The quota of the disk, or of the owner, is spent.
            Unavailable: Another call is sending the same, and the offset is not 0.
        """
        own = self._folder.path_of(header, principal)
        await self._trim(own)
        with self._quota.reservation(principal) as reservation:
            used = await self._used(own, principal)
            self._quota.check_room(header.byte_count, principal=principal, used=used)
            file = await self._claim(header, offset=offset, principal=principal)
            reservation.nbytes = offset
            self._running.add(file.path)
            remove = False
            upload = Upload(
                header,
                offset=offset,
                file=file,
                reserve=lambda end: self._reserve(reservation, own, end, byte_count=header.byte_count),
                store=lambda: store(file),
                threads=self._threads,
            )
            try:
                yield upload
            except (InvalidArgument, ResourceExhausted):
                remove = not upload.ended_early
                raise
            finally:
                self._running.discard(file.path)
                # Shielded: a cancelled call may have to wait for a thread, and nobody else would close the file.
                closing = asyncio.wrap_future(self._threads.submit(file.close, remove=remove))
                await asyncio.shield(closing)

    async def _used(self, own: Path, principal: Principal) -> tuple[int, int]:
        total, owned = await self._repository.read(
            lambda records: used_bytes(records, principal.subject), tenant=principal.tenant
        )
        # Files of uploads that ended early count too, but not this upload's own, which is continued.
        counted = {*self._running, own}
        files = await asyncio.wrap_future(self._threads.submit(self._folder.nbytes, principal, besides=counted))
        return total + files[0], owned + files[1]

    async def _reserve(self, reservation: Reservation, own: Path, end: int, *, byte_count: int) -> int:
        # More than is needed now, so that few chunks need to ask the database.
        ahead = min(end + min(max(3 * end, _MIN_AHEAD_BYTES), _MAX_AHEAD_BYTES), byte_count)
        self._quota.grow(reservation, (ahead, end), used=await self._used(own, reservation.principal))
        return reservation.nbytes

    async def _claim(self, header: UploadHeader, *, offset: int, principal: Principal) -> UploadFile:
        claiming = self._threads.submit(self._folder.claim, header, offset=offset, principal=principal)
        try:
            return await asyncio.wrap_future(claiming)
        except asyncio.CancelledError:
            # The thread goes on, and nobody else would close the file that it locks.
            claiming.add_done_callback(_close_claimed)
            raise


def _close_claimed(claiming: Future[UploadFile]) -> None:
    if not claiming.cancelled() and claiming.exception() is None:
        claiming.result().close(remove=False)
