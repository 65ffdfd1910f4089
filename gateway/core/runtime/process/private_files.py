"""Folders and files that only the user of the gateway may read: they hold images of patients."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

__all__ = ["make_private_file", "make_private_folder", "restrict"]

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def make_private_folder(folder: Path) -> None:
    """Create a folder, and those above it that are missing, for this user alone; restrict one that is there.

    Raises:
        OSError: The folder cannot be created.
    """
    for missing in reversed([path for path in (folder, *folder.parents) if not path.exists()]):
        missing.mkdir(mode=stat.S_IRWXU, exist_ok=True)
    restrict(folder)


def make_private_file(path: Path) -> None:
    """Create an empty file for this user alone, unless it is there; restrict one that is there.

    Raises:
        OSError: The file cannot be created.
    """
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, stat.S_IRUSR | stat.S_IWUSR))
    restrict(path)


def restrict(path: Path) -> None:
    """Take the permissions of the group and of others from a file or folder, if there is one and it is this user's.

    A folder with the setgid or the sticky bit is shared on purpose, and stays as it is. A file in a folder with the
    setgid bit is shared with the group, and keeps the permissions of the group.
    """
    with contextlib.suppress(FileNotFoundError):
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            taken = 0 if status.st_mode & (stat.S_ISGID | stat.S_ISVTX) else _OTHERS
        else:
            taken = stat.S_IRWXO if path.parent.stat().st_mode & stat.S_ISGID else _OTHERS
        if status.st_uid == os.geteuid() and status.st_mode & taken:
            path.chmod(stat.S_IMODE(status.st_mode) & ~taken)
