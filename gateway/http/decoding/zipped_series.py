"""The program that reads a DICOM series in a zip: ``zipped_series ZIP FOLDER LIMIT VOXELS BYTES``.

A damaged or hostile zip can fill or crash this process only.
"""

from __future__ import annotations

import json
import resource
import sys
import zipfile
import zlib
from pathlib import Path

from gateway.http.decode_image import read_image

__all__ = ["main"]

_NAME = "the series"
_MAX_FILES = 20_000
_PIECE_BYTES = 2**20
_GIB = 2**30
# To read a series of the largest size takes a minute or two.
_CPU_SECONDS = 900


def main(source: Path, folder: Path, limit: int, target: Path, max_bytes: int) -> dict[str, object]:
    """Read a series, and write its voxels.

    Args:
        source: The zip.
        folder: Folder for the files.
        limit: Largest size of all its files, in bytes.
        target: File for the voxels.
        max_bytes: Largest image, in bytes of voxels.

    Returns:
        The header of the image, or an error.
    """
    resource.setrlimit(resource.RLIMIT_AS, (2 * _GIB + 3 * max_bytes,) * 2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * max_bytes + 2**20,) * 2)
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_SECONDS,) * 2)
    try:
        problem = _unpack(source, folder, limit)
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError):
        problem = "the zip cannot be read: it is damaged, encrypted, or packed unusually; zip the files again"
    except (MemoryError, OSError):
        problem = f"{_NAME} is too large for this gateway (SIXPOINT_MAX_IMAGE_BYTES), or its zip is damaged"
    if problem:
        return {"error": problem}
    return read_image(folder, target, max_bytes, name=_NAME)


def _unpack(source: Path, folder: Path, limit: int) -> str:
    """Write the files of a zip, under names of our own: theirs may lead elsewhere. Returns what is wrong."""
    left = limit
    with zipfile.ZipFile(source) as packed:
        entries = [entry for entry in packed.infolist() if not entry.is_dir() and not _is_extra(entry.filename)]
        if len(entries) > _MAX_FILES:
            return f"the zip has {len(entries)} files; expected the files of one series, at most {_MAX_FILES}"
        for number, entry in enumerate(entries):
            with packed.open(entry) as file, (folder / f"{number:05}.dcm").open("wb") as copy:
                while piece := file.read(_PIECE_BYTES):
                    left -= len(piece)
                    if left < 0:
                        return (
                            f"the files of the zip take more than {limit} bytes, so they are no series; send a volume"
                        )
                    copy.write(piece)
    return ""


def _is_extra(name: str) -> bool:
    """Whether a file is one that programs add to folders and zips."""
    parts = name.replace("\\", "/").split("/")
    return parts[-1].startswith(".") or "__MACOSX" in parts or parts[-1] == "DICOMDIR"


if __name__ == "__main__":
    given = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]), int(sys.argv[5])
    sys.stdout.write(json.dumps(main(*given)))
