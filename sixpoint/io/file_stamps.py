"""Whether a file was changed, or replaced by another one, since it was read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

__all__ = ["FileStamp", "file_stamp"]


class FileStamp(NamedTuple):
    """What differs once a file was changed or replaced.

    Attributes:
        modified: Time of the last change of the content, nanoseconds since 1970.
        changed: Time of the last change of the content or the metadata (ctime), nanoseconds since 1970.
        inode: Number of the inode.
        size: Size in bytes.
    """

    modified: int
    changed: int
    inode: int
    size: int


def file_stamp(path: str | os.PathLike[str]) -> FileStamp:
    """Return the stamp of a file; links are followed.

    Raises:
        OSError: There is no such file, or its folder cannot be searched.
    """
    status = Path(path).stat()
    # Kubernetes replaces a link to a folder: another inode, with times of its own.
    return FileStamp(status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size)
