"""The upload of one image."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor

from gateway.core.images.records import ImageRecord
from gateway.core.images.stored_image import ImageHeader
from gateway.core.images.upload_file import UploadFile
from sixpoint.errors import UploadError

__all__ = ["Upload"]

# Bytes of an upload that are in memory: being written and hashed, waiting, or arriving; or one chunk that is larger.
_MAX_UNWRITTEN_BYTES = 4 * 2**20


class Upload:
    """Takes the bytes of an image, and writes and hashes them on a worker thread while more arrive.

    Args:
        header: Header of the image.
        offset: Bytes that arrived in earlier calls.
        file: File to write to; None if the image is stored already, and its bytes are only counted.
        reserve: Reserves space on the disk for this many bytes of the image; returns how many are reserved, which may
            be more.
        store: Stores the image once its file is whole and checked.
        threads: Runs what blocks.

    Attributes:
        received: Bytes of voxels that have arrived, those of earlier calls included.
        ended_early: Whether :meth:`finish` found bytes missing; the upload can then be continued.
    """

    def __init__(
        self,
        header: ImageHeader,
        *,
        offset: int,
        file: UploadFile | None,
        reserve: Callable[[int], Awaitable[int]],
        store: Callable[[], Awaitable[ImageRecord]],
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
            raise UploadError(f"the header announced {self._header.byte_count} bytes of voxels, at least {end} arrived")
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

    async def finish(self) -> ImageRecord:
        """Check the image and store it durably.

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
