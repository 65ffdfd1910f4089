"""Files of uploads: the bytes that arrived outlive the connection, and the gateway."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import threading
import time
from collections import deque
from pathlib import Path

from gateway.core.images.disk_cache import begin_digest, map_voxels
from gateway.core.images.stored_image import ImageHeader
from gateway.core.runtime.disk_errors import disk_errors
from sixpoint.errors import ChecksumMismatch, StorageFull, StorageUnavailable, Unavailable, UploadError, Violation
from sixpoint.volume import check_voxels

__all__ = ["UploadFile", "UploadFolder"]

_HASH_BYTES = 8 * 2**20
# Buffers that the system writes in one call, at most.
_MAX_BUFFERS = os.sysconf("SC_IOV_MAX")
_RETRY_S = 1.0
# A call whose client is gone unlocks its file soon after.
_UNLOCK_WAIT_S = 2.0
_POLL_S = 0.02


class UploadFile:
    """The file of one upload, locked while it is written to. All methods but :meth:`add` block.

    Args:
        path: Path of the file.
        number: File descriptor, open and locked.
        header: Header of the image.
        size: Bytes that earlier calls wrote.

    Attributes:
        path: Path of the file.
        size: Bytes that have been written.
    """

    def __init__(self, path: Path, number: int, header: ImageHeader, *, size: int) -> None:
        self.path = path
        self.size = size
        self._number = number
        self._header = header
        self._hashed = 0
        self._digest = begin_digest(header.geometry, header.voxel_type)
        self._waiting: deque[bytes] = deque()
        # Jobs of a cancelled call may still run: they take turns, and the last one closes the file.
        self._turn = threading.Lock()
        self._open = True

    def add(self, chunk: bytes) -> None:
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
        """Write the queued bytes, and check the whole image.

        Raises:
            ChecksumMismatch: The bytes are not those announced.
            VolumeError: Voxels are NaN or infinite.
            StorageFull: The disk is full.
            StorageUnavailable: The file cannot be written.
        """
        self.advance()
        with self._turn, disk_errors():
            if self._digest.hexdigest() != self._header.digest:
                raise ChecksumMismatch(
                    "the SHA-256 of the bytes that arrived is not the digest announced; send the image again"
                )
            check_voxels(map_voxels(self._number, self._header.geometry, self._header.voxel_type))

    def close(self, *, remove: bool) -> None:
        """Write the queued bytes, or remove the file, and close it."""
        with self._turn:
            if not self._open:
                return
            self._open = False
            try:
                if self._waiting and not remove:
                    with contextlib.suppress(StorageFull, StorageUnavailable):
                        self._advance()
                if remove or self._waiting:
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

    def _write(self, chunks: list[bytes]) -> int:
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


class UploadFolder:
    """A folder of upload files, shared by several processes.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def claim(self, header: ImageHeader, *, offset: int) -> UploadFile:
        """Open and lock a file for an upload: the image's own, or a new one while another call writes to that.

        Args:
            header: Header of the image.
            offset: Bytes that arrived in earlier calls; 0 to start anew.

        Raises:
            UploadError: Fewer or more bytes have arrived than the offset says.
            Unavailable: Another call is sending this image, and the offset is not 0.
        """
        with disk_errors():
            path = self.path(header.digest)
            number = _lock(path)
            if number is None:
                if offset:
                    raise Unavailable(
                        "another call is sending this image; ask again how many bytes have arrived",
                        retry_after=_RETRY_S,
                    )
                path = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
                number = _lock(path)
                assert number is not None
            try:
                size = os.fstat(number).st_size
                if offset not in (0, size) or size > header.byte_count:
                    if size > header.byte_count:
                        path.unlink()
                        size = 0
                    raise UploadError(
                        f"{size} bytes of this image have arrived, the offset is {offset}; expected {size}, or 0",
                        violations=(Violation("offset", f"{size}, or 0"),),
                    )
                if offset == 0:
                    os.ftruncate(number, 0)
                return UploadFile(path, number, header, size=offset)
            except BaseException:
                os.close(number)
                raise

    def received(self, digest: str) -> int:
        """Bytes of an image that have arrived; 0 while another call is sending it."""
        with disk_errors():
            path = self.path(digest)
            deadline = time.monotonic() + _UNLOCK_WAIT_S
            while path.exists():
                number = _lock(path, create=False)
                if number is not None:
                    try:
                        return os.fstat(number).st_size
                    finally:
                        os.close(number)
                if time.monotonic() > deadline:
                    return 0
                time.sleep(_POLL_S)
            return 0

    def nbytes(self, *, besides: set[Path]) -> int:
        """Bytes of all files but those of some paths."""
        return sum(_size(path) for path in self._folder.iterdir() if path not in besides)

    def expire(self, *, idle: float) -> list[str]:
        """Remove files that nobody wrote to for ``idle`` seconds; return their names, mostly digests of images."""
        removed = []
        for path in self._folder.iterdir():
            with disk_errors():
                try:
                    if time.time() - path.stat().st_mtime < idle:
                        continue
                    number = _lock(path, create=False)
                except FileNotFoundError:
                    continue
                if number is not None:
                    try:
                        path.unlink(missing_ok=True)
                    finally:
                        os.close(number)
                    removed.append(path.name)
        return removed

    def path(self, digest: str) -> Path:
        """The path of an image's own file, which a later call can continue."""
        return self._folder / digest


def _lock(path: Path, *, create: bool = True) -> int | None:
    """Open and lock a file; None while another call has locked it, or if it is missing and not to be created."""
    while True:
        try:
            number = os.open(path, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0), 0o600)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # If it was moved or removed before it was locked, its name belongs to another file, or to none.
            if path.exists() and os.fstat(number).st_ino == path.stat().st_ino:
                return number
        except BlockingIOError:
            os.close(number)
            return None
        except FileNotFoundError:
            pass
        os.close(number)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
