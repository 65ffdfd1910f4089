"""Fill polygons on a slice: exact integer arithmetic, so that no order of axes changes a voxel."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sixpoint._typing import Bools

__all__ = ["fill_polygon"]


def fill_polygon(vertices: npt.NDArray[np.int64], *, shape: tuple[int, int], unit: int) -> Bools:
    """Mark the pixels whose centres lie inside a closed polygon, or on it.

    Inside is where the winding number is not 0, so that a freehand contour that overlaps itself has no holes
    (D. Sunday, "Inclusion of a Point in a Polygon"). Edges are followed from the last vertex to the first one, too.

    Args:
        vertices: Vertices (x, y) in fractions of a pixel, whole numbers of ``1 / unit``, shape [n, 2]; the centre of
            pixel 0 is 0.
        shape: Pixels [y, x] of the result.
        unit: Parts of a pixel.
    """
    height, width = shape
    winding = np.zeros((height, width + 1), np.int32)
    edge = np.zeros(shape, np.bool_)
    for (x0, y0), (x1, y1) in zip(vertices.tolist(), np.roll(vertices, -1, axis=0).tolist(), strict=True):
        if y0 == y1:
            if y0 % unit == 0 and 0 <= y0 // unit < height:
                low, high = min(x0, x1), max(x0, x1)
                edge[y0 // unit, max(0, -(-low // unit)) : max(0, high // unit + 1)] = True
            continue
        if y1 < y0:
            x0, y0, x1, y1, sign = x1, y1, x0, y0, -1
        else:
            sign = 1
        rows = np.arange(max(0, -(-y0 // unit)), min(height - 1, y1 // unit) + 1)
        # Where the edge crosses each row, as a fraction: x0 + (y - y0) (x1 - x0) / (y1 - y0), in pixels.
        numerator = x0 * (y1 - y0) + (rows * unit - y0) * (x1 - x0)
        denominator = (y1 - y0) * unit
        crossing = -(-numerator // denominator)
        on_centre = (numerator % denominator == 0) & (crossing >= 0) & (crossing < width)
        edge[rows[on_centre], crossing[on_centre]] = True
        # A vertex between two edges is crossed once: the upper end of an edge does not count.
        crossed = rows * unit < y1
        winding[rows[crossed], np.clip(crossing[crossed], 0, width)] += sign
    inside: Bools = np.cumsum(winding[:, :-1], axis=1) != 0
    return inside | edge
