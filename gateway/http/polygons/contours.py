"""Contours of binary images: the border following of Suzuki and Abe (1985), in the order in which OpenCV has them.

As ``findContours`` with ``RETR_CCOMP`` and ``CHAIN_APPROX_NONE``: outer borders from the last that the scan meets to
the first, each followed by the borders of its holes, also from last to first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from sixpoint._typing import Bools

__all__ = ["Contour", "find_contours"]

Contour = list[tuple[int, int]]
"""Pixels (column, row) of a border, each one a neighbour of the one before."""


@dataclass
class _Border:
    """A border, and the borders of the holes in what it surrounds."""

    pixels: list[int]
    outer: _Border | None
    holes: list[_Border] = field(default_factory=list)


def find_contours(image: Bools, *, on_length: Callable[[int], None] = lambda _: None) -> list[Contour]:
    """Find the borders of all objects and of their holes; pixels are neighbours along edges and corners.

    Args:
        image: Image [row, column].
        on_length: Function called with the number of pixels of each border; it may raise to end the search.
    """
    rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
    if not rows.size:
        return []
    top, left = int(rows[0]), int(columns[0])
    # With a frame of background, so that no neighbour is missing.
    padded = np.pad(image[top : rows[-1] + 1, left : columns[-1] + 1], 1).astype(np.int8)
    width = padded.shape[1]
    outers = _scan(padded, on_length)
    borders = [border for outer in reversed(outers) for border in (outer, *reversed(outer.holes))]
    return [[(place % width - 1 + left, place // width - 1 + top) for place in border.pixels] for border in borders]


def _scan(padded: np.ndarray[tuple[int, ...], np.dtype[np.int8]], on_length: Callable[[int], None]) -> list[_Border]:
    """Follow each border from the first of its pixels that a scan line by line meets."""
    width = padded.shape[1]
    changes = np.flatnonzero(np.diff(padded.ravel()))
    # Pixels: 0 background, 1 object, n + 2 on border n, negative if the pixel on its right is background.
    pixels: list[int] = padded.ravel().tolist()
    borders: list[_Border] = []
    outers: list[_Border] = []
    for before in changes.tolist():
        begins = pixels[before] == 0
        if begins and pixels[before + 1] == 1:
            border = _Border(_follow(pixels, before + 1, width, hole=False, mark=len(borders) + 2), None)
            outers.append(border)
        elif not begins and pixels[before] > 0:
            # The border met last on this line is that of the object, or of another of its holes.
            place = before
            while abs(pixels[place]) < 2:
                place -= 1
            met = borders[abs(pixels[place]) - 2]
            outer = met.outer or met
            border = _Border(_follow(pixels, before, width, hole=True, mark=len(borders) + 2), outer)
            outer.holes.append(border)
        else:
            continue
        borders.append(border)
        on_length(len(border.pixels))
    return outers


def _follow(pixels: list[int], start: int, width: int, *, hole: bool, mark: int) -> list[int]:
    """Walk along a border, once around; marks its pixels, and returns their places."""
    # Counter-clockwise from the right neighbour; twice, so that a search needs no modulo.
    steps = (1, 1 - width, -width, -width - 1, -1, width - 1, width, width + 1) * 2
    direction = end = 0 if hole else 4
    while True:
        direction = (direction - 1) & 7
        if pixels[start + steps[direction]]:
            break
        if direction == end:
            pixels[start] = -mark
            return [start]
    last = start + steps[direction]
    border: list[int] = []
    place = start
    while True:
        end = direction
        direction += 1
        while not pixels[place + steps[direction]]:
            direction += 1
        following = place + steps[direction]
        direction &= 7
        if 0 <= direction - 1 < end:
            # The search passed the right neighbour, so it is background.
            pixels[place] = -mark
        elif pixels[place] == 1:
            pixels[place] = mark
        border.append(place)
        if following == start and place == last:
            return border
        place, direction = following, (direction + 4) & 7
