"""Unpacking archives of strangers: nothing outside of the folder, no links, no more than was promised."""

from __future__ import annotations

import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from sixpoint.errors import InvalidArgument

__all__ = ["unpack"]

_MOST_BYTES = 16 * 2**30
_MOST_FILES = 20_000
_MOST_SHRUNK = 200
"""How much smaller an entry of over 1 MiB may be in the archive: weights shrink by a little, text by ten or twenty."""


def unpack(archive: Path, folder: Path, *, max_bytes: int = _MOST_BYTES) -> None:
    """Unpack a zip archive.

    Args:
        archive: The file.
        folder: Where to; it is there, and empty.
        max_bytes: The most that all files may come to.

    Raises:
        InvalidArgument: The file is no zip archive or damaged, an entry would land elsewhere, is a link, encrypted, or
            too large.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = opened.infolist()
            _check(archive, entries, max_bytes=max_bytes)
            for entry in entries:
                target = folder / PurePosixPath(entry.filename)
                if entry.is_dir():
                    target.mkdir(parents=True, exist_ok=True)
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                # Reads no more than the entry's header says, which was checked; zipfile then compares the CRC.
                with opened.open(entry) as source, target.open("wb") as copy:
                    shutil.copyfileobj(source, copy, 2**20)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise InvalidArgument(f"{archive.name} is no zip archive, or cut off or damaged: fetch it again") from error


def _check(archive: Path, entries: list[zipfile.ZipInfo], *, max_bytes: int) -> None:
    if len(entries) > _MOST_FILES:
        raise InvalidArgument(f"{archive.name} has {len(entries)} files, expected at most {_MOST_FILES}")
    total = sum(entry.file_size for entry in entries)
    if total > max_bytes:
        raise InvalidArgument(f"{archive.name} unpacks to {total} bytes, expected at most {max_bytes}")
    for entry in entries:
        name = entry.filename
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name or not path.parts:
            raise InvalidArgument(f"{archive.name} has an entry that would land outside of its folder: {name!r}")
        mode = entry.external_attr >> 16
        if mode and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_IFMT(mode) == 0):
            raise InvalidArgument(f"{archive.name} has an entry that is a link or a device: {name!r}")
        if entry.flag_bits & 1:
            raise InvalidArgument(f"{archive.name} is encrypted: unpack it, and name the folder")
        if entry.file_size > 2**20 and entry.file_size > _MOST_SHRUNK * max(entry.compress_size, 1):
            raise InvalidArgument(
                f"{archive.name} has an entry that unpacks to over {_MOST_SHRUNK} times its size: {name!r}"
            )
