"""Files of voxels in a folder, mapped read-only: processes that share the folder share their pages."""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import threading
import time
from pathlib import Path

import numpy as np

from gateway.core.images.records import ImageRecord
from gateway.core.images.stored_image import StoredImage
from gateway.core.runtime.disk_errors import disk_errors
from sixpoint._typing import Array
from sixpoint.geometry import Geometry
from sixpoint.io.atomic_files import is_temporary
from sixpoint.volume import VOXEL_TYPES, Volume

__all__ = ["DiskCache", "begin_digest", "map_voxels"]

_HASH_BYTES = 8 * 2**20
_STALE_S = 86400.0


class DiskCache:
    """One folder of files named by their digests; all of it blocks.

    Nothing here is needed: a file that is gone is fetched again from the blob store. Files that share their bytes with
    the blob store (by a hard link) take no room of their own and do not count against the budget.

    Args:
        folder: The folder; several processes may share it.
        budget: Bytes of all files; the least recently used go first.
    """

    def __init__(self, folder: Path, *, budget: int) -> None:
        self._folder = folder
        self._budget = budget
        # Which file was found to hold what its name says: inode, bytes, time of change. Threads share it.
        self._checked: dict[str, tuple[int, int, int]] = {}
        self._lock = threading.Lock()

    def path(self, digest: str) -> Path:
        """Where an image's file is, if it is here."""
        return self._folder / digest

    def open(self, record: ImageRecord) -> StoredImage | None:
        """Map an image; None when it is not here, or its file was damaged, which is then removed.

        Raises:
            StorageUnavailable: When the file cannot be read.
        """
        with disk_errors():
            try:
                image = self._map(record, self.path(record.digest))
            except FileNotFoundError:
                return None
        if image is None:
            self.remove(record.digest)
        return image

    def take(self, record: ImageRecord, source: Path) -> StoredImage | None:
        """Map a file that was fetched, and keep it in place of the one that is here; None when it was damaged.

        It is mapped under its own name: as the image's file, another process may trim it at once. Nothing is left of
        that name.

        Raises:
            StorageUnavailable: When the file cannot be read, or the file system refuses.
        """
        with disk_errors():
            try:
                image = self._map(record, source)
                if image is not None:
                    source.replace(self.path(record.digest))
            finally:
                source.unlink(missing_ok=True)
        return image

    def holds(self, digest: str) -> bool:
        """Whether the file that was last opened is still here, and nobody has written to it. Takes microseconds."""
        try:
            stat = self.path(digest).stat()
        except OSError:
            return False
        return self._checked.get(digest) == _identity(stat)

    def touch(self, digest: str) -> None:
        """Mark an image's file as used now, if it is here."""
        with contextlib.suppress(OSError):
            stat = self.path(digest).stat()
            os.utime(self.path(digest), ns=(time.time_ns(), stat.st_mtime_ns))

    def add(self, digest: str, source: Path) -> None:
        """Take a file whose bytes were checked, in place of the one that is here.

        Raises:
            StorageUnavailable: When the file system refuses.
        """
        with disk_errors():
            stat = source.stat()
            source.replace(self.path(digest))
        with self._lock:
            self._checked[digest] = _identity(stat)

    def remove(self, digest: str) -> None:
        """Remove an image's file, if it is here; whoever has mapped it goes on."""
        with self._lock:
            self._checked.pop(digest, None)
        with disk_errors():
            self.path(digest).unlink(missing_ok=True)

    def trim(self) -> int:
        """Remove the least recently used files until the rest is within the budget; how many."""
        files = []
        for entry in os.scandir(self._folder):
            try:
                stat = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                # Another process trims too.
                continue
            if is_temporary(Path(entry.path)):
                # On its way here from the blob store, or left by a gateway that was killed then. One that is a link is
                # as old as its blob: only its inode's time says when it was made.
                if time.time() - stat.st_ctime > _STALE_S:
                    Path(entry.path).unlink(missing_ok=True)
            elif stat.st_nlink == 1:
                files.append((stat.st_atime_ns, stat.st_size, entry.name))
        excess = sum(size for _, size, _ in files) - self._budget
        removed = 0
        # The last one stays, even if it is larger than the budget: somebody is using it now.
        for _, size, name in sorted(files)[:-1]:
            if excess <= 0:
                break
            self.remove(name)
            excess -= size
            removed += 1
        return removed

    def _map(self, record: ImageRecord, path: Path) -> StoredImage | None:
        """Map a file; None when it does not hold the image."""
        number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            stat = os.fstat(number)
            if stat.st_size != record.byte_count:
                return None
            voxels = map_voxels(number, record.geometry, record.voxel_type)
            if not self._check(record, voxels, stat):
                return None
            # What :meth:`trim` goes by; the time of change stays, as it tells whether the file is the one checked.
            os.utime(number, ns=(time.time_ns(), stat.st_mtime_ns))
        finally:
            os.close(number)
        return StoredImage(record.digest, Volume(voxels, record.geometry))

    def _check(self, record: ImageRecord, voxels: Array, stat: os.stat_result) -> bool:
        """Whether the bytes are those of the digest: hashed once for each file, as the disk may have changed them."""
        with self._lock:
            if self._checked.get(record.digest) == _identity(stat):
                return True
        digest = begin_digest(record.geometry, record.voxel_type)
        data = voxels.reshape(-1).view(np.uint8).data
        for start in range(0, len(data), _HASH_BYTES):
            digest.update(data[start : start + _HASH_BYTES])
        if digest.hexdigest() != record.digest:
            return False
        with self._lock:
            self._checked[record.digest] = _identity(stat)
        return True


def begin_digest(geometry: Geometry, voxel_type: int) -> hashlib._Hash:
    """An image's SHA-256 before its voxels, as ``sixpoint.v1.Image.digest`` defines it."""
    digest = hashlib.sha256(geometry.packed())
    digest.update(bytes([voxel_type]))
    return digest


def map_voxels(number: int, geometry: Geometry, voxel_type: int) -> Array:
    """The voxels [z, y, x] in an open file, read-only; the file may be closed and removed."""
    mapped = mmap.mmap(number, 0, access=mmap.ACCESS_READ)
    return np.frombuffer(mapped, VOXEL_TYPES[voxel_type]).reshape(geometry.shape)


def _identity(stat: os.stat_result) -> tuple[int, int, int]:
    return stat.st_ino, stat.st_size, stat.st_mtime_ns
