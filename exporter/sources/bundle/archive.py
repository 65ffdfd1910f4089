"""Unpack untrusted zip archives: nothing outside the folder, no links, nothing larger than announced."""

from __future__ import annotations

import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from sixpoint.errors import InvalidArgument

__all__ = ["unpack"]

_MAX_BYTES = 16 * 2**30
_MAX_FILES = 20_000
_MAX_RATIO = 200
"""Largest compression ratio of an entry over 1 MiB: weights compress by a little, text by 10 to 20."""
_MAX_SMALL_BYTES = 2**26
"""Size of all files together from which the ratio of the whole archive counts, too."""
_MAX_NAME, _MAX_PATH = 255, 2000
"""Longest name of a file in bytes, and of a path in characters, beside that of the folder."""


def unpack(archive: Path, folder: Path, *, max_bytes: int = _MAX_BYTES) -> None:
    """Unpack a zip archive.

    Args:
        archive: The zip file.
        folder: An existing, empty folder.
        max_bytes: Size limit of all files together.

    Raises:
        InvalidArgument: The file is not a zip archive or is damaged; or an entry would land outside the folder, is a
            link, is encrypted, or is too large.
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
                # zipfile reads no more than the entry's header announces, which was checked, and compares the CRC.
                with opened.open(entry) as source, target.open("wb") as copy:
                    shutil.copyfileobj(source, copy, 2**20)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise InvalidArgument(
            f"{archive.name} has an entry that is a file and a folder: zip the bundle again"
        ) from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise InvalidArgument(
            f"{archive.name} is not a zip archive, or is truncated or damaged: download it again"
        ) from error


def _check(archive: Path, entries: list[zipfile.ZipInfo], *, max_bytes: int) -> None:
    if len(entries) > _MAX_FILES:
        raise InvalidArgument(f"{archive.name} has {len(entries)} files, expected at most {_MAX_FILES}")
    total = sum(entry.file_size for entry in entries)
    if total > max_bytes:
        raise InvalidArgument(f"{archive.name} unpacks to {total} bytes, expected at most {max_bytes}")
    if total > _MAX_SMALL_BYTES and total > _MAX_RATIO * archive.stat().st_size:
        raise InvalidArgument(f"{archive.name} unpacks to over {_MAX_RATIO} times its size")
    for entry in entries:
        name = entry.filename
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name or not path.parts:
            raise InvalidArgument(f"{archive.name} has an entry that would land outside its folder: {name!r}")
        if max(len(part.encode(errors="replace")) for part in path.parts) > _MAX_NAME or len(name) > _MAX_PATH:
            raise InvalidArgument(f"{archive.name} has an entry whose name is too long for a file: {name[:40]!r}...")
        mode = entry.external_attr >> 16
        if mode and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_IFMT(mode) == 0):
            raise InvalidArgument(f"{archive.name} has an entry that is a link or a device: {name!r}")
        if entry.flag_bits & 1:
            raise InvalidArgument(f"{archive.name} is encrypted: unpack it and pass the folder")
        if entry.file_size > 2**20 and entry.file_size > _MAX_RATIO * max(entry.compress_size, 1):
            raise InvalidArgument(
                f"{archive.name} has an entry that unpacks to over {_MAX_RATIO} times its size: {name!r}"
            )
