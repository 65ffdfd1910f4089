"""The program that reads a DICOM series in a zip: ``zipped_series ZIP FOLDER LIMIT VOXELS BYTES``.

A damaged or hostile zip can fill or crash this process only.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from gateway.http.decode_image import read_image
from gateway.http.decoding.limits import limit_series_process

__all__ = ["main"]

_NAME = "the series"


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
    limit_series_process(max_bytes)
    try:
        from sixpoint.errors import VolumeError
        from sixpoint.io.dicom.zips import unpack_dicom
    except ImportError:
        return {"missing": True}
    try:
        unpack_dicom(source, folder, max_bytes=limit)
    except VolumeError as error:
        return {"error": error.message.replace(str(source), "the zip")}
    except (MemoryError, OSError):
        return {"error": f"{_NAME} is too large for this gateway (SIXPOINT_MAX_IMAGE_BYTES), or its zip is damaged"}
    return read_image(folder, target, max_bytes, name=_NAME)


if __name__ == "__main__":
    given = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]), int(sys.argv[5])
    sys.stdout.write(json.dumps(main(*given)))
