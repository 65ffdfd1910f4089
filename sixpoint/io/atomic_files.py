"""Write files so that a reader, or a crash, meets a whole file or none.

A file is written under a hidden name beside its own, flushed to the disk, and renamed.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
from pathlib import Path

__all__ = ["flush", "flush_tree", "is_temporary", "link_or_copy", "move_into_place", "temporary_path", "write_file"]

# Why a hard link is not possible: another file system, one without links, or too many links already.
_NO_LINK = {errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK}
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{16}")


def temporary_path(target: Path) -> Path:
    """A new hidden name beside ``target``: several processes may write the same file at once."""
    return target.with_name(f".{target.name}.{secrets.token_hex(8)}")


def is_temporary(path: Path) -> bool:
    """Whether a file has a name made by :func:`temporary_path`."""
    return bool(_TEMPORARY.fullmatch(path.name))


def write_file(target: Path, content: bytes, *, temporary: Path | None = None) -> None:
    """Write a file, or replace the one that is there: whole and durable, or not at all.

    Args:
        target: Path of the file.
        content: Content of the file.
        temporary: Path to write to first, in the same folder; None for a :func:`temporary_path`.

    Raises:
        OSError: The file cannot be written; nothing is left of it.
    """
    temporary = temporary or temporary_path(target)
    try:
        temporary.write_bytes(content)
        flush(temporary)
        move_into_place(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def move_into_place(source: Path, target: Path) -> None:
    """Rename a file or folder, durably; a file replaces the one that is there."""
    source.replace(target)
    flush(target.parent)


def link_or_copy(source: Path, target: Path) -> None:
    """Make a new file of the same bytes, durably: as a hard link if the file system allows it, else as a copy.

    Raises:
        OSError: The file cannot be written; nothing is left of it. FileNotFoundError if there is no source.
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
    flush(target)


def flush(path: Path) -> None:
    """Wait until a file's content, or a folder's list of names, is on the disk."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def flush_tree(folder: Path) -> None:
    """Wait until a folder and everything in it is on the disk."""
    for path in (*folder.rglob("*"), folder):
        flush(path)
