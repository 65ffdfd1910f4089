"""The files that uploads are written to: what has arrived outlives the connection, and the gateway."""

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
# What the system writes in one call, at most.
_BUFFERS = os.sysconf("SC_IOV_MAX")
_RETRY_S = 1.0
# A call whose client is gone lets go of its file soon after.
_PATIENCE_S = 2.0
_POLL_S = 0.02


class UploadFile:
    """One file, locked while it is written to. All of it blocks, except :meth:`add`.

    Attributes:
        path: Where it is.
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
        # Jobs of a call that was cancelled may still run: they take turns, and the last one closes.
        self._turn = threading.Lock()
        self._open = True

    def add(self, chunk: bytes) -> None:
        """Hand over the next bytes, for :meth:`advance` to write."""
        self._waiting.append(chunk)

    def advance(self) -> None:
        """Write and hash what was handed over.

        Raises:
            StorageFull: When the disk is full.
            StorageUnavailable: When it cannot be written.
        """
        with self._turn:
            if self._open:
                self._advance()

    def complete(self) -> None:
        """Write the rest, and check the whole.

        Raises:
            ChecksumMismatch: When the bytes are not those announced.
            VolumeError: When voxels are NaN or infinite.
            StorageFull: As :meth:`advance`.
        """
        self.advance()
        with self._turn, disk_errors():
            if self._digest.hexdigest() != self._header.digest:
                raise ChecksumMismatch("the SHA-256 of what arrived is not the digest announced; send the image again")
            check_voxels(map_voxels(self._number, self._header.geometry, self._header.voxel_type))

    def close(self, *, remove: bool) -> None:
        """Write the rest, unless the file is to be removed, and let go of it."""
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
            # Of an upload that is continued: what had arrived before. It is not trusted; the disk may have lost some.
            while self._hashed < self.size:
                data = os.pread(self._number, min(_HASH_BYTES, self.size - self._hashed), self._hashed)
                if not data:
                    raise OSError(0, "a file became shorter")
                self._digest.update(data)
                self._hashed += len(data)
            # They stay in the queue until they are written: nothing may follow that does not follow in the file.
            waiting = list(self._waiting)
            for start in range(0, len(waiting), _BUFFERS):
                chunks = waiting[start : start + _BUFFERS]
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
            # Rare: the system took less than it was given.
            rest = memoryview(b"".join(chunks))
            while written < total:
                written += os.pwrite(self._number, rest[written:], self.size + written)
        # The disk begins now, rather than when the whole is to be safe; pages that are not yet there stay in memory.
        os.posix_fadvise(self._number, self.size, total, os.POSIX_FADV_DONTNEED)
        return total


class UploadFolder:
    """A folder of such files, shared by several processes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def claim(self, header: ImageHeader, *, offset: int) -> UploadFile:
        """A file for an upload: the image's own, to begin or to go on; another one while somebody writes to that.

        Raises:
            UploadError: When fewer or more bytes have arrived than the offset says.
            Unavailable: When another call is sending this image, and the offset is not 0.
        """
        with disk_errors():
            path = self.path(header.digest)
            number = _lock(path)
            if number is None:
                if offset:
                    raise Unavailable(
                        "another call is sending this image; ask again how much of it has arrived", retry_after=_RETRY_S
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
        """Bytes of an image that have arrived; 0 also while another call keeps on sending it."""
        with disk_errors():
            path = self.path(digest)
            deadline = time.monotonic() + _PATIENCE_S
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
        """Bytes of all files, except some."""
        return sum(_size(path) for path in self._folder.iterdir() if path not in besides)

    def expire(self, *, idle: float) -> list[str]:
        """Remove files that nobody has written to for so many seconds; their names: an image's digest, mostly."""
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
        """An image's own file, that a later call can go on with."""
        return self._folder / digest


def _lock(path: Path, *, create: bool = True) -> int | None:
    """Open a file and lock it; None while another holds it, or when it is not there and is not to be created."""
    while True:
        try:
            number = os.open(path, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0), 0o600)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # It may have been moved or removed before it was locked: then the name is another file's, or nobody's.
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
