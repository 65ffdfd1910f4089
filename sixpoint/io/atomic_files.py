"""Files that are whole or not there, and what the system says when it cannot write them."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from sixpoint.errors import StorageFull, StorageUnavailable

__all__ = ["aside", "copy", "disk_errors", "is_aside", "place", "sync_folder"]

_RETRY_S = 1.0
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
# What a hard link cannot do here: another file system, one that has none, or too many already.
_NO_LINK = {errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK}

_ASIDE = re.compile(r"\..+\.[0-9a-f]{16}")


@contextlib.contextmanager
def disk_errors() -> Iterator[None]:
    """Turn what the system says about a file into an error of the one tree, without the file's name.

    Raises:
        StorageFull: When the disk or its quota is full.
        StorageUnavailable: For everything else.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFull(
                "the gateway's disk is full; nothing was kept of this call. Free space on it, then try again",
                retry_after=_RETRY_S,
            ) from error
        raise StorageUnavailable(
            f"the gateway's disk cannot be used: {error.strerror}; try again", retry_after=_RETRY_S
        ) from error


def aside(target: Path) -> Path:
    """A name beside a file's, for what is to become that file."""
    return target.with_name(f".{target.name}.{secrets.token_hex(8)}")


def is_aside(path: Path) -> bool:
    """Whether a file has such a name."""
    return bool(_ASIDE.fullmatch(path.name))


def copy(source: Path, target: Path) -> None:
    """Make a new file of the same bytes, durably: without a second copy where the file system can.

    Raises:
        OSError: FileNotFoundError when there is no source; what is left of the target is removed.
    """
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
        try:
            shutil.copyfile(source, target)
        except BaseException:
            target.unlink(missing_ok=True)
            raise
    with target.open("rb") as file:
        os.fsync(file.fileno())


def place(source: Path, target: Path) -> None:
    """Give a file that is whole its name, durably."""
    source.replace(target)
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
