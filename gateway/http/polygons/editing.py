"""Polygons on the slices of an image, as clients send them, and pulled at a vertex."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sixpoint.errors import InvalidArgument
from sixpoint.errors.shortening import quoted

__all__ = ["Polygon", "Pull", "Slices", "pull_vertex", "read_polygons", "read_pull"]

Polygon = list[list[int]]
Slices = list[list[Polygon]]
"""For each slice its polygons, with two whole numbers for each vertex."""

_MAX_SLICES, _MAX_COORDINATE, _MAX_REACH = 10_000, 1_000_000, 10_000


@dataclass(frozen=True)
class Pull:
    """How a person pulls at a vertex.

    Attributes:
        place: Numbers of the slice, of the polygon on it, and of the vertex.
        offset: By how much the vertex is moved.
        vertices: Number of vertices on either side that follow, the farther the less.
        slices: Number of slices on either side that follow, the farther the less.
    """

    place: tuple[int, int, int]
    offset: tuple[int, int]
    vertices: int
    slices: int


def read_polygons(value: object, *, three: bool) -> Slices:
    """Read polygons.

    Args:
        value: Polygons of a slice, or, if ``three``, of all slices.
        three: Whether there is a list for each slice.

    Raises:
        InvalidArgument: They are none.
    """
    slices = _list(value, "poly", "slices") if three else [value]
    if len(slices) > _MAX_SLICES:
        raise InvalidArgument(f"params.poly has {len(slices)} slices; expected at most {_MAX_SLICES}")
    return [
        [
            [[_whole(each, "poly") for each in _pair(vertex, "poly")] for vertex in _list(polygon, "poly", "vertices")]
            for polygon in _list(polygons, "poly", "polygons")
        ]
        for polygons in slices
    ]


def read_pull(params: Mapping[str, object], slices: Slices, *, three: bool) -> Pull:
    """Read which vertex is pulled, and how.

    Args:
        params: Parameters of the call.
        slices: The polygons.
        three: Whether the call is about all slices.

    Raises:
        InvalidArgument: There is no such vertex, or a number is missing.
    """
    number = _whole(params.get("slice_index"), "slice_index") if three else 0
    _check_number(number, slices, "slice_index")
    polygon = _whole(params.get("polygon_index"), "polygon_index")
    _check_number(polygon, slices[number], "polygon_index")
    vertex = _whole(params.get("vertex_index"), "vertex_index")
    _check_number(vertex, slices[number][polygon], "vertex_index")
    x, y = (_whole(each, "vertex_offset") for each in _pair(params.get("vertex_offset"), "vertex_offset"))
    reach = _whole(params.get("propagate_neighbor", 1), "propagate_neighbor")
    reach_3d = _whole(params.get("propagate_neighbor_3d", 1), "propagate_neighbor_3d") if three else 0
    if not (0 <= reach <= _MAX_REACH and 0 <= reach_3d <= _MAX_REACH):
        raise InvalidArgument(f"params.propagate_neighbor is {reach}; expected 0 to {_MAX_REACH}")
    return Pull((number, polygon, vertex), (x, y), reach, reach_3d)


def pull_vertex(slices: Slices, pull: Pull, *, shape: tuple[int, int]) -> Slices:
    """Move a vertex, and its neighbours with it: the next ones along its polygon, and those on the slices beside.

    With each step away vertices move by an equal part less, so that the first one out of reach stays. On another slice
    the vertex nearest to the one that is pulled leads its polygon.

    Args:
        slices: Polygons of each slice.
        pull: Which vertex, and by how much.
        shape: Size of a slice, in the order of the coordinates; vertices stay inside.

    Returns:
        The new polygons.
    """
    moved = [[[list(vertex) for vertex in polygon] for polygon in polygons] for polygons in slices]
    number, polygon, vertex = pull.place
    pulled = slices[number][polygon][vertex]
    for away in range(-pull.slices, pull.slices + 1):
        if not 0 <= number + away < len(slices):
            continue
        place = (polygon, vertex) if away == 0 else _nearest(slices[number + away], pulled)
        if place is None:
            continue
        share = 1 - abs(away) / (pull.slices + 1)
        _move(moved[number + away][place[0]], place[1], pull, share=share, shape=shape)
    return moved


def _move(polygon: Polygon, vertex: int, pull: Pull, *, share: float, shape: tuple[int, int]) -> None:
    reach = min(pull.vertices, (len(polygon) - 1) // 2)
    for away in range(-reach, reach + 1):
        part = share * (1 - abs(away) / (pull.vertices + 1))
        point = polygon[(vertex + away) % len(polygon)]
        for axis in range(2):
            place = math.floor(point[axis] + part * pull.offset[axis] + 0.5)
            point[axis] = min(max(place, 0), shape[axis] - 1)


def _nearest(polygons: Sequence[Polygon], point: Sequence[int]) -> tuple[int, int] | None:
    """Numbers of the polygon and of the vertex nearest to a point; None without any."""
    distances = (
        (math.dist(vertex, point), number, place)
        for number, polygon in enumerate(polygons)
        for place, vertex in enumerate(polygon)
    )
    nearest = min(distances, default=None)
    return nearest[1:] if nearest else None


def _list(value: object, name: str, what: str) -> Sequence[object]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise InvalidArgument(f"params.{name} has no {what} where they are expected; expected nested lists of [x, y]")
    return value


def _pair(value: object, name: str) -> Sequence[object]:
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
        raise InvalidArgument(f"params.{name} has something else than two numbers; expected [x, y]")
    return value


def _whole(value: object, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= _MAX_COORDINATE:
        raise InvalidArgument(f"params.{name} is {quoted(str(value))} somewhere; expected a whole number")
    return math.floor(value + 0.5)


def _check_number(number: int, items: Sequence[object], name: str) -> None:
    if not 0 <= number < len(items):
        raise InvalidArgument(f"params.{name} is {number}; there are {len(items)}, from 0")
