"""Contours: polygons that separate the pixels of a slice, and the pixels whose centres lie in polygons."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from sixpoint._typing import Bools, Ints, Points
from sixpoint.geometry import Geometry

__all__ = ["Contours", "fill_polygons", "trace_polygons"]

# How far the points of a contour may lie from their slice, in slices: planning systems round positions.
_OFF_SLICE = 0.2
# How far contours may lie outside the image, in voxels: those of a body are drawn along its edge.
_OUTSIDE = 1.0

_Vertex = tuple[int, int]
# Steps (x, y) along the sides of pixels, each the right turn of the one before it; y runs down.
_STEPS: tuple[_Vertex, ...] = ((1, 0), (0, 1), (-1, 0), (0, -1))


@dataclass(frozen=True)
class Contours:
    """An object as closed contours in patient space, without a grid.

    Attributes:
        rings: Points (LPS, mm) of each contour, shape [n, 3].
    """

    rings: tuple[Points, ...] = field(repr=False)

    def rasterise(self, geometry: Geometry) -> Bools:
        """The voxels [z, y, x] of an image whose centres lie inside an odd number of contours of their slice.

        Args:
            geometry: Geometry of the image.

        Raises:
            ValueError: The contours do not lie in slices of the image along one of its axes, or lie outside the image;
                the message has no subject.
        """
        indices = [geometry.point_to_index(ring) for ring in self.rings]
        across = _slice_axis(indices)
        by_slice: dict[int, list[Points]] = defaultdict(list)
        in_plane = [axis for axis in range(3) if axis != across]
        last = np.array(geometry.size) - 1
        for ring in indices:
            number = round(float(ring[:, across].mean()))
            # The slices must be the image's; in a slice, an edge of the image may cut an object.
            margin = np.where(np.arange(3) == across, _OFF_SLICE, 0.5 + _OUTSIDE)
            if (ring < -margin).any() or (ring > last + margin).any():
                raise ValueError("has contours outside the image; give contours that were drawn on this image")
            by_slice[number].append(ring[:, in_plane])
        # Slices first, then rows and columns: the axes of an array are those of an index, reversed.
        voxels = np.zeros([geometry.size[axis] for axis in (across, *reversed(in_plane))], np.bool_)
        for number, polygons in by_slice.items():
            voxels[number] = fill_polygons(polygons, (voxels.shape[1], voxels.shape[2]))
        return np.ascontiguousarray(np.moveaxis(voxels, 0, 2 - across))


def _slice_axis(rings: Sequence[Points]) -> int:
    """The axis of the image whose slices the contours lie in.

    Raises:
        ValueError: There is none.
    """
    off = [0.0, 0.0, 0.0]
    for ring in rings:
        for axis in range(3):
            along = ring[:, axis]
            off[axis] = max(off[axis], float(np.abs(along - np.rint(along.mean())).max()))
    # Contours of single points lie in slices along all axes: the last one is that of a series.
    for axis in (2, 1, 0):
        if off[axis] <= _OFF_SLICE:
            return axis
    raise ValueError(
        f"has contours that do not lie in slices of the image ({min(off):.2f} slices off); give the image that they "
        "were drawn on"
    )


def fill_polygons(polygons: Sequence[Points], shape: tuple[int, int]) -> Bools:
    """The pixels [y, x] whose centres lie inside an odd number of polygons; of a centre on an edge, one side counts.

    Args:
        polygons: Corners (x, y) of closed polygons, in pixels, with integers at the centres.
        shape: Rows and columns.
    """
    toggles = np.zeros((shape[0], shape[1] + 1), np.int32)
    for polygon in polygons:
        rows, columns = _crossings(polygon, *shape)
        np.add.at(toggles, (rows, columns), 1)
    inside: Bools = np.cumsum(toggles[:, :-1], axis=1) % 2 == 1
    return inside


def _crossings(polygon: Points, height: int, width: int) -> tuple[Ints, Ints]:
    """Where the rows of pixels cross a polygon: row, and the first column at or beyond the crossing."""
    begin, end = polygon, np.roll(polygon, -1, axis=0)
    # The lower end first, so that an edge that is passed twice, there and back, is crossed at one place.
    swap = begin[:, 1] > end[:, 1]
    low, high = np.where(swap[:, None], end, begin), np.where(swap[:, None], begin, end)
    first = np.clip(np.ceil(low[:, 1]), 0, height).astype(np.int64)
    count = np.clip(np.ceil(high[:, 1]), 0, height).astype(np.int64) - first
    edge = np.repeat(np.arange(len(count)), count)
    rows = np.repeat(first, count) + np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count)
    share = (rows - low[edge, 1]) / (high[edge, 1] - low[edge, 1])
    columns = np.ceil(low[edge, 0] + share * (high[edge, 0] - low[edge, 0]))
    return rows.astype(np.int32), np.clip(columns, 0, width).astype(np.int32)


def trace_polygons(pixels: Bools) -> list[Points]:
    """Polygons along the sides of pixels that have exactly the pixels of a slice inside.

    A hole is joined to the polygon round it by a channel of no width (a keyhole), which runs between pixels. Pixels
    that touch at a corner only are in polygons of their own, if nothing else joins them.

    Args:
        pixels: Pixels [y, x] of a slice.

    Returns:
        Corners (x, y) of each polygon, in pixels, with integers at the centres of pixels.
    """
    rings = list(_rings(pixels))
    outer = [ring for ring in rings if _doubled_area(ring) > 0]
    # From the top: a channel to the left from a hole's top left corner ends at a hole that was joined before.
    holes = sorted((_from_top_left(ring) for ring in rings if _doubled_area(ring) < 0), key=lambda ring: _key(ring[0]))
    polygon_of = {vertex: number for number, ring in enumerate(outer) for vertex in ring}
    for hole in holes:
        x, y = hole[0]
        while (x, y) not in polygon_of:
            x -= 1
        number = polygon_of[x, y]
        at = outer[number].index((x, y)) + 1
        outer[number][at:at] = [*hole, hole[0], (x, y)]
        polygon_of.update(dict.fromkeys(hole, number))
    return [np.array(_corners(ring), np.float64) - 0.5 for ring in outer]


def _rings(pixels: Bools) -> Iterator[list[_Vertex]]:
    """Closed paths along the sides between pixels inside and outside, the inside to the right."""
    padded = np.pad(pixels, 1)
    above_left, above = padded[:-1, :-1], padded[:-1, 1:]
    left, here = padded[1:, :-1], padded[1:, 1:]
    # Vertex (x, y) is the upper left corner of pixel (x, y); the sides that leave it, by direction.
    leaving = (here & ~above, left & ~here, above_left & ~left, above & ~above_left)
    sides = {
        (x, y, direction)
        for direction, there in enumerate(leaving)
        for y, x in zip(*(axis.tolist() for axis in np.nonzero(there)), strict=True)
    }
    while sides:
        start = x, y, direction = sides.pop()
        ring = [(x, y)]
        while True:
            x, y = x + _STEPS[direction][0], y + _STEPS[direction][1]
            # The right turn first: it stays at the same pixel, where two touch at this corner.
            turns = ((x, y, (direction + turn) % 4) for turn in (1, 0, 3))
            side = next(side for side in turns if side == start or side in sides)
            if side == start:
                break
            sides.remove(side)
            ring.append((x, y))
            direction = side[2]
        yield ring


def _doubled_area(ring: Sequence[_Vertex]) -> int:
    """Twice the area of a ring; negative if it encloses a hole."""
    area = 0
    x0, y0 = ring[-1]
    for x, y in ring:
        area += x0 * y - x * y0
        x0, y0 = x, y
    return area


def _key(vertex: _Vertex) -> _Vertex:
    return vertex[1], vertex[0]


def _from_top_left(ring: list[_Vertex]) -> list[_Vertex]:
    """The ring, begun at the leftmost of its topmost vertices."""
    first = ring.index(min(ring, key=_key))
    return ring[first:] + ring[:first]


def _corners(ring: Sequence[_Vertex]) -> list[_Vertex]:
    """The vertices at which a ring turns, or turns back."""
    result = []
    for (ax, ay), (bx, by), (cx, cy) in zip([ring[-1], *ring[:-1]], ring, [*ring[1:], ring[0]], strict=True):
        if (bx - ax, by - ay) != (cx - bx, cy - by):
            result.append((bx, by))
    return result
