"""One image on its way in."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor

from gateway.core.images.records import ImageRecord
from gateway.core.images.stored_image import ImageHeader
from gateway.core.images.upload_files import UploadFile
from sixpoint.errors import UploadError

__all__ = ["Upload"]

# Most bytes that wait in memory while those before them are written and hashed.
_WAITING_BYTES = 8 * 2**20


class Upload:
    """Bytes go to a file and into a hash on a worker thread; those that arrive meanwhile wait in memory, up to a limit.

    Attributes:
        received: Bytes of voxels that have arrived, those of earlier calls included.
        ended_early: Whether :meth:`finish` found bytes missing: those that arrived are good, and can be continued.

    Args:
        header: What was announced.
        offset: Bytes that arrived before.
        file: Where they go; None when the image is here already, and the bytes are only counted.
        keep: Makes an image of the file, once it is whole and checked.
        threads: For what blocks.
    """

    def __init__(
        self,
        header: ImageHeader,
        *,
        offset: int,
        file: UploadFile | None,
        keep: Callable[[], Awaitable[ImageRecord]],
        threads: Executor,
    ) -> None:
        self._header = header
        self._file = file
        self._keep = keep
        self._threads = threads
        self._waiting = 0
        self._job: asyncio.Future[None] | None = None
        self.received = offset
        self.ended_early = False

    async def write(self, chunk: bytes) -> None:
        """Take the next bytes.

        Raises:
            UploadError: When more arrive than were announced.
            StorageFull: When the disk is full.
        """
        end = self.received + len(chunk)
        if end > self._header.byte_count:
            raise UploadError(f"the header announced {self._header.byte_count} bytes of voxels, at least {end} arrived")
        self.received = end
        if self._file is None:
            return
        self._file.add(chunk)
        self._waiting += len(chunk)
        if self._job is not None and (self._job.done() or self._waiting >= _WAITING_BYTES):
            await self._job
            self._job = None
        if self._job is None:
            self._waiting = 0
            self._job = asyncio.get_running_loop().run_in_executor(self._threads, self._file.advance)
            # Seen, even if the call ends before it is waited for.
            self._job.add_done_callback(lambda job: job.cancelled() or job.exception())

    async def finish(self) -> ImageRecord:
        """Check the whole, and keep it: when this returns, the image outlives the gateway.

        Raises:
            UploadError: When bytes are missing; they can be sent in another call.
            ChecksumMismatch: When they are not those announced.
            VolumeError: When voxels are NaN or infinite.
            StorageFull: When the disk is full, or its budget is spent.
            StorageUnavailable: When the database or the blob store cannot be reached.
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
        return await self._keep()
