"""Masks of polygons on the slices of an image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from gateway.http.polygons.editing import Polygon, Slices
from sixpoint._typing import Bools
from sixpoint.errors import InvalidArgument

__all__ = ["check_edges", "fill", "inside_slice"]

_Ints = npt.NDArray[np.int64]

# Of all edges together; those of the organs in a large image are a tenth of it.
_MAX_EDGE_PIXELS = 2**21


def inside_slice(polygons: Sequence[Polygon], *, shape: tuple[int, int]) -> list[Polygon]:
    """Move vertices outside of a slice to its edge.

    Args:
        polygons: Polygons to draw.
        shape: Size of the slice, in the order of the coordinates.
    """

    def inside(vertex: Sequence[int]) -> list[int]:
        return [min(max(place, 0), size - 1) for place, size in zip(vertex, shape, strict=True)]

    return [[inside(vertex) for vertex in polygon] for polygon in polygons]


def check_edges(slices: Slices) -> None:
    """Refuse polygons that would take too long to fill.

    Raises:
        InvalidArgument: Their edges are too long.
    """
    length = 0
    for polygons in slices:
        for polygon in polygons:
            points = np.array(polygon, np.int64).reshape(-1, 2)
            length += int(np.abs(points - np.roll(points, 1, axis=0)).max(axis=1, initial=1).sum())
    if length > _MAX_EDGE_PIXELS:
        raise InvalidArgument(f"the edges of the polygons have {length} pixels; expected at most {_MAX_EDGE_PIXELS}")


def fill(polygons: Sequence[Polygon], *, shape: tuple[int, int]) -> Bools:
    """Return the mask of the polygons of a slice: what is inside an odd number of them, with all their edges.

    Args:
        polygons: Polygons, whose vertices are in the slice.
        shape: Size of the slice, in the order of the coordinates.
    """
    # Only whether they are odd counts, so that they may overflow.
    crossings, edges = np.zeros((shape[0] + 1, shape[1]), np.uint8), np.zeros(shape, np.bool_)
    for polygon in filter(None, polygons):
        begin = np.array(polygon, np.int64)
        end = np.roll(begin, -1, axis=0)
        edges[tuple(_pixels(begin, end))] = True
        # Lines along the first coordinate: each edge is crossed by those from its one end up to the other.
        low, high = np.minimum(begin[:, 1], end[:, 1]), np.maximum(begin[:, 1], end[:, 1])
        number, step = _count(high - low)
        line = low[number] + step
        first, last = begin[number], end[number]
        share = (line - first[:, 1]) / (last[:, 1] - first[:, 1])
        place = np.ceil(first[:, 0] + share * (last[:, 0] - first[:, 0])).astype(np.int64)
        np.add.at(crossings, (place, line), 1)
    np.bitwise_xor.accumulate(crossings & 1, axis=0, out=crossings)
    return crossings[:-1].view(np.bool_) | edges


def _pixels(begin: _Ints, end: _Ints) -> _Ints:
    """The pixels of edges, shape [2, pixel]."""
    lengths = np.abs(end - begin).max(axis=1)
    number, step = _count(lengths + 1)
    share = step / np.maximum(lengths[number], 1)
    pixels: _Ints = np.floor(begin[number] + share[:, None] * (end - begin)[number] + 0.5).astype(np.int64).T
    return pixels


def _count(lengths: _Ints) -> tuple[_Ints, _Ints]:
    """Numbers 0, 0, .., 1, .. so often as the lengths say, and how often each came before."""
    number = np.repeat(np.arange(len(lengths)), lengths)
    return number, np.arange(len(number)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
