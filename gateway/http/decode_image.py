"""The program that reads one image file for the gateway, in a process of its own: ``decode_image FILE VOXELS BYTES``.

A damaged or hostile file can fill or crash this process only. It writes the voxels as the core stores them, and a line
of JSON: the header of the image, or what is wrong with the file.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

__all__ = ["advise_sender", "main", "read_image"]

_GIB = 2**30
_ADVICE = (
    (
        "give the spacing in mm: --spacing X,Y,Z, or spacing=(x, y, z)",
        "set the spacing in the program that sends the image",
    ),
    (
        "choose one with --series N (series=N), or put it into a folder of its own",
        "send the files of one of them alone",
    ),
    ("; give it as --mask", "; send the image that it belongs to"),
    ("; give a DICOM SEG as --mask", "; send the image that it belongs to"),
    ("; contours (RTSTRUCT) are read as --mask, and reports are not", ""),
    (" (--dicom seg, dicom='seg')", " (format=seg)"),
    (" (--dicom labelmap, dicom='labelmap')", " (format=labelmap)"),
)
"""Parts of messages that name options of the command line and the SDK, and what the sender of a file can do instead."""


def main(source: Path, target: Path, max_bytes: int) -> dict[str, object]:
    """Read an image file, and write its voxels.

    Args:
        source: Image file.
        target: File for the voxels.
        max_bytes: Largest image, in bytes of voxels.

    Returns:
        The header of the image, or an error.
    """
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * max_bytes + 2**20,) * 2)
    return read_image(source, target, max_bytes, name="the image")


def read_image(source: Path, target: Path, max_bytes: int, *, name: str) -> dict[str, object]:
    """Read an image, and write its voxels.

    Args:
        source: Image file, or folder with a DICOM series.
        target: File for the voxels.
        max_bytes: Largest image, in bytes of voxels.
        name: What errors call it.

    Returns:
        The header of the image, or an error.
    """
    # As it arrives, converted, and as a type that is stored; more is no image that would be accepted.
    resource.setrlimit(resource.RLIMIT_AS, (2 * _GIB + 3 * max_bytes,) * 2)
    try:
        from sixpoint.errors import SixpointError
        from sixpoint.volume import Volume, voxel_type_number
    except ImportError:
        return {"missing": True}
    try:
        volume = Volume.read(source)
        volume.array.tofile(target)
    except SixpointError as error:
        return {"error": advise_sender(error.message).replace(str(source), name)}
    except ImportError:
        return {"missing": True}
    except (MemoryError, OSError):
        return {"error": f"{name} is too large for this gateway (SIXPOINT_MAX_IMAGE_BYTES), or its header is damaged"}
    geometry = volume.geometry
    return {
        "digest": volume.digest,
        "size": geometry.size,
        "spacing": geometry.spacing,
        "origin": geometry.origin,
        "direction": geometry.direction,
        "voxel_type": voxel_type_number(volume.array.dtype),
        "byte_count": volume.array.nbytes,
        "modality": volume.modality,
    }


def advise_sender(message: str) -> str:
    """Return a message with advice for whoever sent the file that it is about.

    Args:
        message: Message of an error of the library.
    """
    for options, advice in _ADVICE:
        message = message.replace(options, advice)
    return message


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))))
