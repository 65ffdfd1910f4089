"""The program that unpacks one array of nnInteractive's protocol for the gateway, in a process of its own.

``arrays image ARRAY SPACING VOXELS BYTES`` writes the voxels of an image as the core stores them, and prints its
header; ``arrays mask ARRAY VOXELS BYTES`` writes the box of a mask outside which it is 0, one byte for each voxel, and
prints where it lies. What is wrong with the array is printed instead.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

__all__ = ["main"]

_GIB = 2**30
# A bound for arrays of a wider type than the one that is stored.
_WIDEST = 2


def main(kind: str, *arguments: str) -> dict[str, object]:
    """Unpack an array.

    Args:
        kind: ``image`` or ``mask``.
        *arguments: The array's file, for an image its spacing as JSON along the array's axes, the file to write, and
            the largest number of bytes to write.

    Returns:
        What the array holds, or an error.
    """
    source, *more, target, limit = arguments
    max_bytes = int(limit)
    # As it arrives, converted, and as a type that is stored; more is no array that would be accepted.
    resource.setrlimit(resource.RLIMIT_AS, (2 * _GIB + 4 * max_bytes,) * 2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * max_bytes + 2**20,) * 2)
    try:
        from sixpoint.errors import SixpointError
    except ImportError:
        return {"missing": True}
    try:
        if kind == "image":
            return _image(Path(source), json.loads(more[0]), Path(target), max_bytes)
        return _mask(Path(source), Path(target), max_bytes)
    except SixpointError as error:
        return {"error": error.message}
    except ImportError:
        return {"missing": True}
    except (MemoryError, OSError):
        return {"error": "the array is too large for this gateway (SIXPOINT_MAX_IMAGE_BYTES), or damaged"}


def _image(source: Path, spacing: list[float], target: Path, max_bytes: int) -> dict[str, object]:
    from gateway.http.decoding.packed import unpack_file
    from sixpoint.errors import VolumeError
    from sixpoint.geometry import Geometry
    from sixpoint.volume import Volume, voxel_type_number

    array = unpack_file(source, axes=4, max_bytes=_WIDEST * max_bytes)
    if len(array) != 1:
        raise VolumeError(f"the image has {len(array)} channels; expected one number per voxel")
    z, y, x = array.shape[1:]
    geometry = Geometry((x, y, z), (spacing[2], spacing[1], spacing[0]))
    volume = Volume(array[0], geometry)
    if volume.array.nbytes > max_bytes:
        raise VolumeError(f"the image has {volume.array.nbytes} bytes of voxels; expected at most {max_bytes}")
    volume.array.tofile(target)
    return {
        "digest": volume.digest,
        "size": geometry.size,
        "spacing": geometry.spacing,
        "origin": geometry.origin,
        "direction": geometry.direction,
        "voxel_type": voxel_type_number(volume.array.dtype),
        "byte_count": volume.array.nbytes,
    }


def _mask(source: Path, target: Path, max_bytes: int) -> dict[str, object]:
    from gateway.http.decoding.packed import mask_of, unpack_file
    from sixpoint.mask import cropped

    # The limit is one byte for each voxel, and the widest type has eight.
    array = unpack_file(source, axes=3, max_bytes=8 * max_bytes)
    voxels, lower = cropped(mask_of(array))
    voxels.tofile(target)
    return {"shape": list(array.shape), "lower": list(lower), "box": list(voxels.shape)}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(*sys.argv[1:])))
