"""The file of an upload: the bytes that arrived outlive the connection, and the gateway."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from gateway.core.images.disk_cache import begin_digest, map_voxels
from gateway.core.images.stored_image import ImageHeader
from gateway.core.runtime.process.disk_errors import disk_errors
from sixpoint.errors import ChecksumMismatch, StorageFull, StorageUnavailable
from sixpoint.volume import check_voxels

__all__ = ["FileHeader", "UploadFile", "UploadHeader", "noun_of"]

_HASH_BYTES = 8 * 2**20
# Buffers that the system writes in one call, at most.
_MAX_BUFFERS = os.sysconf("SC_IOV_MAX")


@dataclass(frozen=True)
class FileHeader:
    """What the upload of a file announces.

    Attributes:
        digest: SHA-256 of its bytes, lower-case hex.
        byte_count: Size in bytes.
    """

    digest: str
    byte_count: int


UploadHeader = ImageHeader | FileHeader
"""What an upload announces: an image's voxels, or a file that an image will be read from."""


class UploadFile:
    """The file of one upload, locked while it is written to. All methods but :meth:`add` block.

    Args:
        path: Path of the file.
        number: File descriptor, open and locked.
        header: What the upload announces.
        size: Bytes that earlier calls wrote.

    Attributes:
        path: Path of the file.
        size: Bytes that have been written.
    """

    def __init__(self, path: Path, number: int, header: UploadHeader, *, size: int) -> None:
        self.path = path
        self.size = size
        self._number = number
        self._header = header
        self._hashed = 0
        self._digest = (
            begin_digest(header.geometry, header.voxel_type) if isinstance(header, ImageHeader) else hashlib.sha256()
        )
        self._waiting: deque[bytes | memoryview] = deque()
        # Jobs of a cancelled call may still run: they take turns, and the last one closes the file.
        self._turn = threading.Lock()
        self._open = True

    def add(self, chunk: bytes | memoryview) -> None:
        """Queue the next bytes for :meth:`advance` to write."""
        self._waiting.append(chunk)

    def advance(self) -> None:
        """Write and hash the queued bytes.

        Raises:
            StorageFull: The disk is full.
            StorageUnavailable: The file cannot be written.
        """
        with self._turn:
            if self._open:
                self._advance()

    def complete(self) -> None:
        """Write the queued bytes, and check them all.

        Raises:
            ChecksumMismatch: The bytes are not those announced.
            VolumeError: It is an image, and voxels are NaN or infinite.
            StorageFull: The disk is full.
            StorageUnavailable: The file cannot be written.
        """
        self.advance()
        with self._turn, disk_errors():
            if self._digest.hexdigest() != self._header.digest:
                raise ChecksumMismatch(
                    "the SHA-256 of the bytes that arrived is not the digest announced; send the "
                    f"{noun_of(self._header)} again"
                )
            if isinstance(self._header, ImageHeader):
                check_voxels(map_voxels(self._number, self._header.geometry, self._header.voxel_type))

    def close(self, *, remove: bool) -> None:
        """Write the queued bytes, or remove the file, and close it. An empty file is removed."""
        with self._turn:
            if not self._open:
                return
            self._open = False
            try:
                if self._waiting and not remove:
                    with contextlib.suppress(StorageFull, StorageUnavailable):
                        self._advance()
                if remove or self._waiting or not self.size:
                    self.path.unlink(missing_ok=True)
            finally:
                os.close(self._number)

    def _advance(self) -> None:
        with disk_errors():
            # A continued upload hashes the earlier bytes again, as the disk may have lost some.
            while self._hashed < self.size:
                data = os.pread(self._number, min(_HASH_BYTES, self.size - self._hashed), self._hashed)
                if not data:
                    raise OSError(0, "a file became shorter")
                self._digest.update(data)
                self._hashed += len(data)
            # Chunks stay in the queue until they are written, so that none is skipped after an error.
            waiting = list(self._waiting)
            for start in range(0, len(waiting), _MAX_BUFFERS):
                chunks = waiting[start : start + _MAX_BUFFERS]
                written = self._write(chunks)
                for chunk in chunks:
                    self._digest.update(chunk)
                    self._waiting.popleft()
                self.size += written
                self._hashed = self.size

    def _write(self, chunks: list[bytes | memoryview]) -> int:
        total = sum(map(len, chunks))
        written = os.pwritev(self._number, chunks, self.size)
        if written < total:
            # Rare: the system wrote less than it was given.
            rest = memoryview(b"".join(chunks))
            while written < total:
                written += os.pwrite(self._number, rest[written:], self.size + written)
        # The disk starts to write now, rather than at the final flush; dirty pages stay in memory.
        os.posix_fadvise(self._number, self.size, total, os.POSIX_FADV_DONTNEED)
        return total


def noun_of(header: UploadHeader) -> str:
    """What errors call the thing that is uploaded."""
    return "image" if isinstance(header, ImageHeader) else "file"
