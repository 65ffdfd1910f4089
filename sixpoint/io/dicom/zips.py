"""Zips of DICOM files, read as the folder that they were packed from."""

from __future__ import annotations

import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sixpoint.errors import SixpointError, VolumeError
from sixpoint.io.dicom.headers import may_be_dicom
from sixpoint.io.images import is_zip

__all__ = ["dicom_folder", "unpack_dicom"]

_MAX_FILES = 20_000
# Wide of any series, and narrow enough that a hostile zip fills no disk: 2000 slices of 512 x 512 are 1 GiB.
_MAX_BYTES = 8 * 2**30
_PIECE_BYTES = 2**20


@contextmanager
def dicom_folder(source: Path) -> Iterator[Path]:
    """Yield a folder or file as it is; of a zip, a private folder with its DICOM files, until the block ends.

    The files get names of our own, since those in a zip may lead elsewhere. Errors of the block name the zip.

    Args:
        source: Folder, DICOM file, or zip of DICOM files in any folders.

    Raises:
        VolumeError: The zip is damaged, encrypted or too large, or cannot be unpacked here.
    """
    if not is_zip(source):
        yield source
        return
    with tempfile.TemporaryDirectory(prefix="sixpoint-") as text:
        unpack_dicom(source, Path(text), max_bytes=_MAX_BYTES)
        try:
            yield Path(text)
        except SixpointError as error:
            raise type(error)(error.message.replace(text, str(source)), violations=error.violations) from error


def unpack_dicom(source: Path, folder: Path, *, max_bytes: int) -> None:
    """Write the DICOM files of a zip to a folder, under names of our own: theirs may lead elsewhere.

    Args:
        source: The zip.
        folder: Folder for the files.
        max_bytes: Largest size of all of them.

    Raises:
        VolumeError: The zip is damaged, encrypted or too large, or cannot be unpacked here.
    """
    try:
        with zipfile.ZipFile(source) as packed:
            entries = [entry for entry in packed.infolist() if not entry.is_dir()]
            if len(entries) > _MAX_FILES:
                raise VolumeError(
                    f"{source} has {len(entries)} files; expected the files of one series, at most {_MAX_FILES}"
                )
            left = max_bytes
            for number, entry in enumerate(entries):
                left -= _copy(packed, entry, folder / f"{number:05}.dcm", left, source)
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        raise VolumeError(
            f"{source} cannot be read: it is damaged, encrypted, or packed unusually; zip the files again"
        ) from error
    except OSError as error:
        raise VolumeError(f"{source} cannot be unpacked: {error.strerror}") from error


def _copy(packed: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, limit: int, source: Path) -> int:
    """Write a file of a zip, unless it is no DICOM file; returns its bytes.

    What the zip says of its size is not believed.

    Raises:
        VolumeError: It has more bytes than the limit.
    """
    count = 0
    with packed.open(entry) as file:
        piece = file.read(_PIECE_BYTES)
        if not may_be_dicom(piece):
            return 0
        with target.open("wb") as copy:
            while piece:
                count += len(piece)
                if count > limit:
                    raise VolumeError(f"{source} has more bytes in its files than a series has; zip one series")
                copy.write(piece)
                piece = file.read(_PIECE_BYTES)
    return count
