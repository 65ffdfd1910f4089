"""Files of voxels in a folder, mapped read-only, so that processes which share the folder share memory."""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import threading
import time
from pathlib import Path

import numpy as np

from gateway.core.images.records import ImageKey, ImageRecord
from gateway.core.images.stored_image import StoredImage
from gateway.core.runtime.process.disk_errors import disk_errors
from sixpoint._typing import Array
from sixpoint.geometry import Geometry
from sixpoint.io.atomic_files import is_temporary
from sixpoint.volume import VOXEL_TYPES, Volume

__all__ = ["DiskCache", "begin_digest", "map_voxels"]

_HASH_BYTES = 8 * 2**20
_STALE_S = 86400.0
_MARKER = ".used"
_Identity = tuple[int, int, int, int]


class DiskCache:
    """A folder of files named by digest and tenant. All methods block.

    A missing file is fetched again from the blob store. Files that are hard links of blobs take no space of their own,
    and do not count against the budget.

    Each process hashes a file before it first maps it, and again if inode, size, time of modification or time of change
    (ctime) differ. The last one is the kernel's: whoever writes to a file can set its time of modification back, but
    not its time of change. So nothing here may change a file's times: the time of last use is that of an empty file
    beside it.

    Args:
        folder: The folder; several processes may share it.
        budget: Bytes of all files; the least recently used are removed first.
    """

    def __init__(self, folder: Path, *, budget: int) -> None:
        self._folder = folder
        self._budget = budget
        # The identity of each file whose digest was checked. Threads share it.
        self._checked: dict[str, _Identity] = {}
        self._lock = threading.Lock()

    def path(self, key: ImageKey) -> Path:
        """The path of an image's file, whether or not it exists."""
        return self._folder / key.file_name

    def open(self, record: ImageRecord) -> StoredImage | None:
        """Map an image's file.

        Returns:
            The image; None if there is no file, or if it was damaged and thus removed.

        Raises:
            StorageUnavailable: The file cannot be read.
        """
        with disk_errors():
            try:
                image = self._map(record, self.path(record.key))
            except FileNotFoundError:
                return None
        if image is None:
            self.remove(record.key)
        else:
            self.touch(record.key)
        return image

    def take(self, record: ImageRecord, source: Path) -> StoredImage | None:
        """Map a fetched file, and move it into place.

        It is mapped before it is moved: once it is in place, another process may remove it.

        Args:
            record: Record of the image.
            source: Path of the fetched file; afterwards there is none.

        Returns:
            The image; None if the file was damaged.

        Raises:
            StorageUnavailable: The file cannot be read or moved.
        """
        with disk_errors():
            try:
                image = self._map(record, source)
                if image is not None:
                    self._move(record.key, source)
            finally:
                source.unlink(missing_ok=True)
        return image

    def holds(self, key: ImageKey) -> bool:
        """Whether the file that was checked last is still there, unchanged. Takes microseconds."""
        try:
            stat = self.path(key).stat()
        except OSError:
            return False
        return self._checked.get(key.file_name) == _identity(stat)

    def touch(self, key: ImageKey) -> None:
        """Set the time of last use of an image's file, if there is one."""
        # Without the marker, for lack of space for example, another image may be removed first.
        with contextlib.suppress(OSError):
            if self.path(key).stat().st_nlink == 1:
                self._marker(key).touch(mode=0o600)

    def add(self, key: ImageKey, source: Path) -> None:
        """Move a file whose digest was checked into place.

        Raises:
            StorageUnavailable: The file cannot be moved.
        """
        with disk_errors():
            self._move(key, source)

    def remove(self, key: ImageKey) -> None:
        """Remove an image's file, if there is one; images that map it stay usable."""
        self._remove(key.file_name)

    def trim(self) -> int:
        """Remove the least recently used files until the others are within the budget; return their number."""
        files = []
        entries = {entry.name: entry for entry in os.scandir(self._folder)}
        for entry in entries.values():
            try:
                stat = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                # Another process removed it.
                continue
            if is_temporary(Path(entry.path)):
                # A file being fetched, or left by a gateway that was killed meanwhile. The modification time of a hard
                # link is that of its blob: only the inode's change time tells when it was made.
                if time.time() - stat.st_ctime > _STALE_S:
                    Path(entry.path).unlink(missing_ok=True)
            elif entry.name.endswith(_MARKER):
                if entry.name.removesuffix(_MARKER) not in entries and time.time() - stat.st_mtime > _STALE_S:
                    Path(entry.path).unlink(missing_ok=True)
            elif stat.st_nlink == 1:
                files.append((self._last_use(entry.name, stat), stat.st_size, entry.name))
        excess = sum(size for _, size, _ in files) - self._budget
        removed = 0
        # The file used last is in use now: it stays, even if it is larger than the budget.
        for _, size, name in sorted(files)[:-1]:
            if excess <= 0:
                break
            self._remove(name)
            excess -= size
            removed += 1
        return removed

    def _remove(self, name: str) -> None:
        with self._lock:
            self._checked.pop(name, None)
        with disk_errors():
            (self._folder / name).unlink(missing_ok=True)
            (self._folder / f"{name}{_MARKER}").unlink(missing_ok=True)

    def _marker(self, key: ImageKey) -> Path:
        return self._folder / f"{key.file_name}{_MARKER}"

    def _last_use(self, name: str, stat: os.stat_result) -> int:
        try:
            return (self._folder / f"{name}{_MARKER}").stat().st_mtime_ns
        except FileNotFoundError:
            # Older versions used the file's own time of access.
            return stat.st_atime_ns

    def _move(self, key: ImageKey, source: Path) -> None:
        """Move a file whose digest was checked into place, and note its identity there: moving changes it."""
        before = source.stat()
        source.replace(self.path(key))
        try:
            after = self.path(key).stat()
        except FileNotFoundError:
            # Another process removed it.
            return
        if _identity(after)[:3] == _identity(before)[:3]:
            with self._lock:
                self._checked[key.file_name] = _identity(after)
        self.touch(key)

    def _map(self, record: ImageRecord, path: Path) -> StoredImage | None:
        """Map a file; None if it does not contain the image."""
        number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            stat = os.fstat(number)
            if stat.st_size != record.byte_count:
                return None
            voxels = map_voxels(number, record.geometry, record.voxel_type)
            if not self._check(record, voxels, stat):
                return None
        finally:
            os.close(number)
        return StoredImage(record.digest, Volume(voxels, record.geometry))

    def _check(self, record: ImageRecord, voxels: Array, stat: os.stat_result) -> bool:
        """Whether the voxels match the digest. Each file is hashed once, as the disk may have changed it."""
        with self._lock:
            if self._checked.get(record.key.file_name) == _identity(stat):
                return True
        digest = begin_digest(record.geometry, record.voxel_type)
        data = voxels.reshape(-1).view(np.uint8).data
        for start in range(0, len(data), _HASH_BYTES):
            digest.update(data[start : start + _HASH_BYTES])
        if digest.hexdigest() != record.digest:
            return False
        with self._lock:
            self._checked[record.key.file_name] = _identity(stat)
        return True


def begin_digest(geometry: Geometry, voxel_type: int) -> hashlib._Hash:
    """Start the SHA-256 of an image, as ``sixpoint.v1.Image.digest`` defines it; the voxels come next."""
    digest = hashlib.sha256(geometry.packed())
    digest.update(bytes([voxel_type]))
    return digest


def map_voxels(number: int, geometry: Geometry, voxel_type: int) -> Array:
    """Map the voxels [z, y, x] of an open file, read-only; the file may then be closed and removed."""
    mapped = mmap.mmap(number, 0, access=mmap.ACCESS_READ)
    return np.frombuffer(mapped, VOXEL_TYPES[voxel_type]).reshape(geometry.shape)


def _identity(stat: os.stat_result) -> _Identity:
    return stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
