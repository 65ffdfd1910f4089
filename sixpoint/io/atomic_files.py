"""Files that are whole or not there."""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
from pathlib import Path

__all__ = ["aside", "copy", "is_aside", "place", "sync_folder"]

# What a hard link cannot do here: another file system, one that has none, or too many already.
_NO_LINK = {errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK}

_ASIDE = re.compile(r"\..+\.[0-9a-f]{16}")


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
