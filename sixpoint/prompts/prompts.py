"""Prompts: extreme points, boxes and clicks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sixpoint._typing import Array, FrameName, PointLike, Points
from sixpoint.errors import PromptError, Violation
from sixpoint.geometry import Geometry
from sixpoint.masks.labels import whole_labels
from sixpoint.prompts.frames import Frame
from sixpoint.prompts.initial_mask import InitialMask
from sixpoint.prompts.lassos import Lasso
from sixpoint.prompts.placing import Point, as_point, format_values, index_inside
from sixpoint.prompts.scribbles import Scribble

__all__ = ["MAX_EXTREME_POINTS", "Box", "Click", "ExtremePoints", "Point", "Prompt", "prompt_path"]

_MIN_POINTS = 6
MAX_EXTREME_POINTS = 20
"""Far more extreme points than people click; the hull map's time grows with the cube of their number."""

# Smallest extent of extreme points across their best-fitting plane, in voxels (root of the summed squares).
_MIN_THICKNESS = 0.25
# Smallest distance of a box's corners along each axis, in voxels; below it they lie in one slice.
_MIN_BOX_EDGE = 0.5


@dataclass(frozen=True, init=False)
class ExtremePoints:
    """Six or more points on an object: leftmost, rightmost, foremost, hindmost, lowest, highest; in any order.

    Attributes:
        points: Points (x, y, z) in ``frame``.
        frame: Frame of the coordinates; it may be given by its name, "voxel", "lps" or "ras".

    Raises:
        PromptError: The frame is unknown, a point has not three numbers, or a number is not finite.
    """

    points: Sequence[Point]
    frame: Frame = Frame.VOXEL

    # Each __init__ of a prompt is written out, since a dataclass's own would not take the name of a frame.
    def __init__(self, points: Sequence[PointLike] | Array, frame: Frame | FrameName = Frame.VOXEL) -> None:
        object.__setattr__(self, "frame", Frame.parse(frame))
        object.__setattr__(self, "points", _points(points))

    def to_index(self, geometry: Geometry) -> Points:
        """The points as indices (x, y, z) of an image, shape [n, 3], rounded to 1/64 voxel.

        Raises:
            PromptError: There are fewer than 6 or more than 20 points, one lies outside the image, or all lie in one
                plane.
        """
        if not _MIN_POINTS <= len(self.points) <= MAX_EXTREME_POINTS:
            raise PromptError(
                f"extreme points: expected {_MIN_POINTS} to {MAX_EXTREME_POINTS} points, got {len(self.points)}",
                violations=(Violation("points", f"between {_MIN_POINTS} and {MAX_EXTREME_POINTS} points"),),
            )
        fields = [f"points[{n}]" for n in range(len(self.points))]
        index = index_inside(self.points, self.frame, geometry, what="points", fields=fields)
        _check_solid(index)
        return index

    @classmethod
    def of_mask(cls, mask: Array) -> ExtremePoints:
        """The six exact extreme points of a mask: on each face of its box, the object's voxel nearest to their middle.

        Args:
            mask: Mask [z, y, x], not 0 inside the object, and 0 or NaN outside.

        Raises:
            PromptError: The mask is empty, or has numbers that are no labels.
        """
        try:
            array = whole_labels(np.asarray(mask))
        except ValueError as error:
            raise PromptError(f"mask: it {error}") from error
        if not array.any():
            raise PromptError("an empty mask has no extreme points")
        points: list[Point] = []
        for axis in (2, 1, 0):
            filled = np.flatnonzero(array.any(axis=tuple(other for other in range(3) if other != axis)))
            for edge in (filled[0], filled[-1]):
                # Only the face: listing all voxels of a large object takes long.
                face = np.insert(np.argwhere(array.take(edge, axis=axis)), axis, edge, axis=1)[:, ::-1]
                x, y, z = face[np.square(face - face.mean(axis=0)).sum(axis=1).argmin()].tolist()
                points.append((x, y, z))
        return cls(points, Frame.VOXEL)


@dataclass(frozen=True, init=False)
class Box:
    """A box round an object, aligned with the image's axes, given by two opposite corners.

    The corners are voxels of the box. Along each axis either of them may be the lower one.

    Attributes:
        lower: Corner (x, y, z) in ``frame``.
        upper: Opposite corner (x, y, z) in ``frame``.
        frame: Frame of the coordinates; it may be given by its name, "voxel", "lps" or "ras".

    Raises:
        PromptError: The frame is unknown, a corner has not three numbers, or a number is not finite.
    """

    lower: Point
    upper: Point
    frame: Frame = Frame.VOXEL

    def __init__(self, lower: PointLike, upper: PointLike, frame: Frame | FrameName = Frame.VOXEL) -> None:
        object.__setattr__(self, "frame", Frame.parse(frame))
        object.__setattr__(self, "lower", as_point(lower, name="box, lower corner", field="lower"))
        object.__setattr__(self, "upper", as_point(upper, name="box, upper corner", field="upper"))

    def to_index(self, geometry: Geometry) -> Points:
        """The lower and the upper corner as indices (x, y, z) of an image, shape [2, 3], rounded to 1/64 voxel.

        Raises:
            PromptError: A corner lies outside the image, or both lie in one slice along an axis.
        """
        corners = (self.lower, self.upper)
        index = index_inside(corners, self.frame, geometry, what="corners", fields=["lower", "upper"])
        extent = np.ptp(index, axis=0)
        if extent.min() < _MIN_BOX_EDGE:
            raise PromptError(
                f"the box is flat: its corners are {format_values(extent)} voxels apart along x, y and z. "
                "Draw it over two slices of the object or more along every axis",
                violations=(Violation("upper", "must not lie in one slice with lower"),),
            )
        return np.stack([index.min(axis=0), index.max(axis=0)])


@dataclass(frozen=True, init=False)
class Click:
    """A correction: the voxel at the point belongs to the object (positive) or does not (negative).

    Attributes:
        point: Point (x, y, z) in ``frame``.
        positive: Whether the voxel belongs to the object.
        frame: Frame of the coordinates; it may be given by its name, "voxel", "lps" or "ras".

    Raises:
        PromptError: The frame is unknown, the point has not three numbers, a number is not finite, or ``positive`` is
            neither true nor false.
    """

    point: Point
    positive: bool = True
    frame: Frame = Frame.VOXEL

    def __init__(self, point: PointLike, positive: bool = True, frame: Frame | FrameName = Frame.VOXEL) -> None:
        object.__setattr__(self, "frame", Frame.parse(frame))
        object.__setattr__(self, "point", as_point(point, name="click", field="point"))
        if not isinstance(positive, bool | np.bool_):
            raise PromptError(
                f"click: positive must be True or False, got {positive!r}",
                violations=(Violation("positive", "True or False"),),
            )
        object.__setattr__(self, "positive", bool(positive))

    def to_index(self, geometry: Geometry) -> Points:
        """The click as an index (x, y, z) of an image, shape [1, 3], rounded to 1/64 voxel.

        Raises:
            PromptError: The point lies outside the image.
        """
        return index_inside((self.point,), self.frame, geometry, what="click", fields=["point"])


Prompt = ExtremePoints | Box | Click | InitialMask | Scribble | Lasso
"""A prompt: extreme points, a box, a mask or a positive lasso start an object; clicks, scribbles and lassos correct
the answer."""

_FIELDS: dict[type, str] = {
    ExtremePoints: "extreme_points",
    Box: "box",
    Click: "click",
    InitialMask: "mask",
    Scribble: "scribble",
    Lasso: "lasso",
}


def prompt_path(prompt: Prompt, number: int) -> str:
    """Return the path of a prompt among those of a call, as errors name it: "prompts[0].click".

    Args:
        prompt: The prompt.
        number: Its place, from 0.
    """
    return f"prompts[{number}].{_FIELDS[type(prompt)]}"


def _points(values: object) -> tuple[Point, ...]:
    try:
        points = list(values)  # type: ignore[call-overload]  # TypeError if it is no sequence
    except TypeError:
        points = [values]
    if isinstance(values, str):
        raise PromptError(
            "extreme points: expected a sequence of points (x, y, z), got a text; read_points reads a file"
        )
    return tuple(as_point(point, name=f"point {n}", field=f"points[{n}]") for n, point in enumerate(points))


def _check_solid(index: Points) -> None:
    spread = np.linalg.svd(index - index.mean(axis=0), compute_uv=False)
    extent = np.ptp(index, axis=0)
    if extent.min() <= 0 or spread[-1] < _MIN_THICKNESS:
        raise PromptError(
            "the points all lie in one plane, so they are not an object's extremes; "
            f"their extent is {format_values(extent)} voxels. Click the lowest and highest slice of the object too",
            violations=(Violation("points", "must not all lie in one plane"),),
        )
