"""The folder of unfinished uploads, shared by the gateways of a machine."""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway.core.access import Principal
from gateway.core.images.records import ImageKey
from gateway.core.images.upload_file import FileHeader, UploadFile, UploadHeader, noun_of
from gateway.core.runtime.process.disk_errors import disk_errors
from sixpoint.errors import Unavailable, UploadError, Violation

__all__ = ["UnfinishedLimits", "UploadFolder"]

_RETRY_S = 1.0
# A call whose client is gone unlocks its file soon after.
_UNLOCK_WAIT_S = 2.0
_POLL_S = 0.02
_MIN_BYTES = 2**20
_TAG_DIGITS = 32


@dataclass(frozen=True)
class UnfinishedLimits:
    """Limits of the files of uploads that ended early.

    A file counts as at least 1 MiB, so that the number of files is limited, too.

    Attributes:
        total: Bytes of all files.
        owner: Bytes of the files of one owner.
        idle: Seconds after which a file that nobody wrote to is removed.
    """

    total: int
    owner: int
    idle: float


class UploadFolder:
    """A folder of upload files, shared by several processes.

    A file is named ``IMAGE.OWNER``, with a hash of the owner's name, or ``IMAGE`` without an owner; that of a second
    upload of the same image at once is ``IMAGE.OWNER.RANDOM``, where ``OWNER`` may be empty. ``IMAGE`` is the name of
    the image's file in the cache, of digest and tenant. A file that is no image has ``file-DIGEST`` in its place, and
    one upload at a time.

    Args:
        folder: The folder.
        limits: Limits of the files that no upload writes to.
    """

    def __init__(self, folder: Path, limits: UnfinishedLimits) -> None:
        self._folder = folder
        self._limits = limits

    def claim(self, header: UploadHeader, *, offset: int, principal: Principal) -> UploadFile:
        """Open and lock a file for an upload: the image's own, or a new one while another call writes to that.

        Args:
            header: What the upload announces.
            offset: Bytes that arrived in earlier calls; 0 to start anew.
            principal: Who uploads it.

        Raises:
            UploadError: Fewer or more bytes have arrived than the offset says.
            Unavailable: Another call is sending this image, and the offset is not 0; or another one uses this file.
        """
        is_file = isinstance(header, FileHeader)
        with disk_errors():
            path = self.path_of(header, principal)
            number = _lock(path)
            if number is None:
                if offset or is_file:
                    raise _busy(noun_of(header))
                path = path.with_name(f"{path.name.partition('.')[0]}.{_tag(principal)}.{secrets.token_hex(8)}")
                number = _lock(path)
                assert number is not None
            try:
                size = os.fstat(number).st_size
                if offset not in (0, size) or size > header.byte_count:
                    if not 0 < size <= header.byte_count:
                        path.unlink()
                        size = 0
                    expected = f"{size}, or 0" if size else "0"
                    raise UploadError(
                        f"{size} bytes of this {noun_of(header)} have arrived, the offset is {offset}; "
                        f"expected {expected}",
                        violations=(Violation("offset", expected),),
                    )
                if offset == 0:
                    os.ftruncate(number, 0)
                return UploadFile(path, number, header, size=offset)
            except BaseException:
                os.close(number)
                raise

    def received(self, digest: str, principal: Principal, *, is_file: bool = False) -> int:
        """Bytes of an image, or of a file, that have arrived from somebody; 0 while another call uses it."""
        with disk_errors():
            number = self._lock_soon(self.path(digest, principal, is_file=is_file))
            if number is None:
                return 0
            try:
                return os.fstat(number).st_size
            finally:
                os.close(number)

    def lock_file(self, digest: str, principal: Principal) -> tuple[Path, int] | None:
        """Lock a file that is no image, for reading it; returns its path and a file descriptor. None if it is missing.

        Raises:
            Unavailable: Another call uses it.
        """
        with disk_errors():
            path = self.path(digest, principal, is_file=True)
            number = self._lock_soon(path)
            if number is None and path.exists():
                raise _busy("file")
            return None if number is None else (path, number)

    @staticmethod
    def _lock_soon(path: Path) -> int | None:
        """Lock a file; None if it is missing, or if another call keeps it locked for a while."""
        deadline = time.monotonic() + _UNLOCK_WAIT_S
        while path.exists():
            number = _lock(path, create=False)
            if number is not None or time.monotonic() > deadline:
                return number
            time.sleep(_POLL_S)
        return None

    def nbytes(self, principal: Principal, *, besides: set[Path]) -> tuple[int, int]:
        """Bytes of all files but those of some paths, and of somebody's among them."""
        total = owned = 0
        tag = _tag(principal)
        for path, stat in self._files():
            if path not in besides:
                total += stat.st_size
                owned += stat.st_size if _tag_of(path) == tag else 0
        return total, owned

    def trim(self, *, besides: set[Path]) -> list[tuple[ImageKey, int]]:
        """Remove files beyond the limits that no upload writes to, those first that were left alone for longest.

        Args:
            besides: Paths of files that uploads of this process write to, which do not count.

        Returns:
            Keys of the images whose own files were removed, and the bytes that had arrived of each.
        """
        removed = []
        total, owned = 0, dict[str, int]()
        oldest_allowed = time.time() - self._limits.idle
        for path, stat in sorted(self._files(), key=lambda file: file[1].st_mtime, reverse=True):
            if path in besides:
                continue
            tag, size = _tag_of(path), max(stat.st_size, _MIN_BYTES)
            sums = total + size, owned.get(tag, 0) + size
            if stat.st_mtime > oldest_allowed and sums[0] <= self._limits.total and sums[1] <= self._limits.owner:
                total, owned[tag] = sums
            elif _remove(path) and path.name.count(".") < 2:
                key = ImageKey.of_file(path.name.partition(".")[0])
                if key is not None:
                    removed.append((key, stat.st_size))
        return removed

    def path_of(self, header: UploadHeader, principal: Principal) -> Path:
        """The path of somebody's own file of an upload."""
        return self.path(header.digest, principal, is_file=isinstance(header, FileHeader))

    def path(self, digest: str, principal: Principal, *, is_file: bool = False) -> Path:
        """The path of somebody's own file of an image, or of a file, which a later call can continue."""
        name, tag = ImageKey(principal.tenant, digest).file_name, _tag(principal)
        if is_file:
            # No name of an image: what arrived of a file is never taken for voxels.
            name = f"file-{name}"
        return self._folder / (f"{name}.{tag}" if tag else name)

    def _files(self) -> Iterator[tuple[Path, os.stat_result]]:
        for entry in os.scandir(self._folder):
            try:
                yield Path(entry.path), entry.stat()
            except FileNotFoundError:
                # Another process removed it.
                continue


def _busy(noun: str) -> Unavailable:
    return Unavailable(
        f"another call is sending this {noun}, or reads it; ask again how many bytes have arrived", retry_after=_RETRY_S
    )


def _tag(principal: Principal) -> str:
    """What stands for an owner in the names of files; empty for callers without a name."""
    account = principal.account
    return hashlib.sha256(account.encode()).hexdigest()[:_TAG_DIGITS] if account else ""


def _tag_of(path: Path) -> str:
    return path.name.partition(".")[2].partition(".")[0]


def _remove(path: Path) -> bool:
    """Remove a file unless an upload writes to it; return whether it was removed."""
    with disk_errors():
        number = _lock(path, create=False)
        if number is None:
            return False
        try:
            path.unlink(missing_ok=True)
        finally:
            os.close(number)
        return True


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
