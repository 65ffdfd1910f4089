"""Place the points of prompts in an image: convert them to voxel indices, and refuse those outside."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sixpoint._typing import Array, Bools, Points
from sixpoint.errors import PromptError, Violation
from sixpoint.geometry import Geometry
from sixpoint.prompts.frames import Frame

__all__ = ["STEPS_PER_VOXEL", "Point", "as_point", "as_points", "format_values", "index_inside", "nearest_voxels"]

Point = tuple[float, float, float]
"""(x, y, z)."""

STEPS_PER_VOXEL = 2**6
"""Points are rounded to this fraction of a voxel, so that the same points in voxels, and in LPS and RAS as people type
them (two decimals of a mm), give the same mask, bit for bit. A power of two, so that mirroring an axis is exact."""

# Points that an error names.
_MAX_NAMED = 20


def as_points(array: Array) -> tuple[Point, ...]:
    """Return the rows of an array of numbers, shape [n, 3], as points."""
    return tuple((x, y, z) for x, y, z in np.asarray(array, np.float64).tolist())


def as_point(values: object, *, name: str, field: str) -> Point:
    """Return a point.

    Args:
        values: What was given for it.
        name: Name of the point, for the error.
        field: Path of the point in the prompt, for the error.

    Raises:
        PromptError: The values are not three finite numbers.
    """
    try:
        numbers = tuple(float(value) for value in values)  # type: ignore[attr-defined]  # TypeError if it is no sequence
    except (TypeError, ValueError):
        numbers = ()
    if len(numbers) != 3 or not all(map(math.isfinite, numbers)):
        raise PromptError(
            f"{name}: expected three finite numbers (x, y, z), got {values}",
            violations=(Violation(field, "three finite numbers"),),
        )
    return numbers[0], numbers[1], numbers[2]


def _to_index(points: Sequence[Point], frame: Frame, geometry: Geometry) -> Points:
    coordinates = np.array(points)
    if frame is Frame.RAS:
        coordinates = coordinates * np.array([-1.0, -1.0, 1.0])
    # Finite numbers may overflow here; :func:`index_inside` refuses the result.
    with np.errstate(over="ignore", invalid="ignore"):
        index = coordinates if frame is Frame.VOXEL else geometry.point_to_index(coordinates)
        return np.round(index * STEPS_PER_VOXEL) / STEPS_PER_VOXEL


def index_inside(
    points: Sequence[Point], frame: Frame, geometry: Geometry, *, what: str, fields: Sequence[str]
) -> Points:
    """The points as indices (x, y, z) of the image, shape [n, 3].

    Args:
        points: Points in ``frame``.
        frame: Frame of the coordinates.
        geometry: Geometry of the image.
        what: Name of the points, for the error.
        fields: Path of each point in the prompt, for the error.

    Raises:
        PromptError: A point lies outside the image; the message names the frames in which all would lie inside.
    """
    index = _to_index(points, frame, geometry)
    inside = _inside(index, geometry)
    if inside.all():
        return index
    outside = np.flatnonzero(~inside).tolist()
    # A contour has thousands of points, and an error has to fit into the trailer of a call.
    named = outside[:_MAX_NAMED]
    upper = np.array(geometry.size) - 0.5
    bounds = f"x -0.5..{upper[0]}, y -0.5..{upper[1]}, z -0.5..{upper[2]}"
    place = "; ".join(f"{fields[n]} at voxel {format_values(index[n])}" for n in named)
    place += f"; and {len(outside) - len(named)} more" if len(outside) > len(named) else ""
    subject = f"{len(outside)} of {len(index)} {what} lie" if len(index) > 1 else f"the {what} lies"
    hint = _frame_hint(points, frame, geometry)
    raise PromptError(
        f"{subject} outside the image, whose voxels span {bounds}: {place}{hint}",
        violations=tuple(Violation(fields[n], f"outside the image: {bounds}") for n in named),
    )


def _frame_hint(points: Sequence[Point], frame: Frame, geometry: Geometry) -> str:
    """Name the other frames in which all points lie inside the image; empty when there is none."""
    names = [
        other.value
        for other in Frame
        if other is not frame and _inside(_to_index(points, other, geometry), geometry).all()
    ]
    if not names:
        return ""
    subject = f"all {len(points)} lie" if len(points) > 1 else "it lies"
    option, argument = "|".join(names), " or ".join(map(repr, names))
    return f". As {' or '.join(names)} coordinates {subject} inside: --frame {option}, or frame={argument}"


def _inside(index: Points, geometry: Geometry) -> Bools:
    """Whether each index (x, y, z) lies in the image; a voxel extends half its width from its centre."""
    # NaN, after an overflow, counts as outside.
    return np.asarray(((index >= -0.5) & (index <= np.array(geometry.size) - 0.5)).all(axis=1))


def nearest_voxels(index: Points, geometry: Geometry) -> npt.NDArray[np.int64]:
    """The voxels (x, y, z) that indices inside an image lie in, shape [n, 3].

    Between two voxels the one that follows in the patient is taken, as for clicks, so that no order of axes matters.

    Args:
        index: Indices (x, y, z) of the image, shape [n, 3].
        geometry: Geometry of the image.
    """
    orientation = geometry.orientation
    backwards = np.zeros(3, np.bool_)
    backwards[list(orientation.axes)] = orientation.flips
    voxels = np.where(backwards, np.ceil(index - 0.5), np.floor(index + 0.5))
    return np.clip(voxels, 0, np.array(geometry.size) - 1).astype(np.int64)


def format_values(values: Points) -> str:
    """Return numbers for people, with three decimals at most: "(1, 2.5, 3)"."""
    return "(" + ", ".join(f"{round(value, 3):g}" for value in values.tolist()) + ")"
