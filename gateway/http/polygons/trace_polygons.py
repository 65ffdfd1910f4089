"""The program that turns masks into polygons: ``trace_polygons VOXELS TYPE X Y Z SKIPPED POLYGONS``.

In a process of its own, since it takes seconds of a core. It writes the polygons, and a line of JSON: what is wrong
with the mask, or nothing.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

import numpy as np

from gateway.http.polygons.contours import Contour, find_contours
from sixpoint._typing import Array

__all__ = ["main", "to_polygon"]

# Seconds of a core; the contours of organs are a hundredth of it.
_MAX_PIXELS = 4_000_000
_MEMORY_BYTES = 2**31
# Shorter contours keep all their pixels, as AIAA's did.
_MIN_THINNED = 6


def main(voxels: Array, target: Path, *, skipped: int) -> dict[str, str]:
    """Write the polygons of a mask: for each slice those of its objects and of their holes.

    A polygon is the pixels of a contour, each (y, x), of which only one of ``skipped`` + 1 is kept.

    Args:
        voxels: Mask [z, y, x], not 0 inside the object.
        target: File to write.
        skipped: Number of pixels that are left out after each one that is kept.

    Returns:
        What is wrong; nothing if nothing is.
    """
    traced = 0

    def count(pixels: int) -> None:
        nonlocal traced
        traced += pixels
        if traced > _MAX_PIXELS:
            raise OverflowError

    try:
        with target.open("w") as file:
            for number, plane in enumerate(voxels):
                file.write("[" if number == 0 else ",")
                # AIAA's slices have x along their rows, so that its points are (y, x).
                contours = find_contours(plane.T != 0, on_length=count)
                json.dump([to_polygon(contour, skipped) for contour in contours], file, separators=(",", ":"))
            file.write("]")
    except (OverflowError, MemoryError):
        return {"error": f"the outlines of the mask have more than {_MAX_PIXELS} pixels; send a smoother mask"}
    return {}


def to_polygon(contour: Contour, skipped: int) -> Contour:
    """Return the pixels of a contour that become the vertices of its polygon."""
    return contour if len(contour) < _MIN_THINNED else contour[:: skipped + 1]


if __name__ == "__main__":
    source, dtype, x, y, z, skipped, target = sys.argv[1:]
    shape = int(z), int(y), int(x)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES + Path(source).stat().st_size,) * 2)
    answer = main(np.memmap(source, dtype, "r", shape=shape), Path(target), skipped=int(skipped))
    sys.stdout.write(json.dumps(answer))
