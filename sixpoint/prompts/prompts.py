"""What a person shows a model: extreme points, a box, a mask, clicks; points with the frame that they are in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from sixpoint._typing import Array, Points
from sixpoint.errors import PromptError, Violation
from sixpoint.geometry import Geometry
from sixpoint.prompts.initial_mask import InitialMask

__all__ = ["Box", "Click", "ExtremePoints", "Frame", "InitialMask", "Point", "Prompt"]

Point = tuple[float, float, float]
"""(x, y, z)."""

_FEWEST = 6
# Far more than anybody clicks; the guidance's cost grows with the cube of it.
_MOST = 20
# Points are rounded to this fraction of a voxel: the same points in voxels, and in LPS and RAS as people type them (two
# decimals of a mm), then give the same mask, bit for bit. A power of two, so that mirroring an axis is exact too.
_STEPS_PER_VOXEL = 2**6
# The thinnest a set of extreme points may be across its own best plane, in voxels (root of the summed squares).
_FLAT = 0.25
# The least distance of a box's two corners along each axis, in voxels: below it they are one slice.
_FLAT_BOX = 0.5


class Frame(StrEnum):
    """The frame of a point's coordinates."""

    VOXEL = "voxel"
    """Indices (x, y, z) of the image, continuous, integers at voxel centres."""
    LPS = "lps"
    """Patient millimetres: Left, Posterior, Superior (DICOM, ITK)."""
    RAS = "ras"
    """Patient millimetres: Right, Anterior, Superior (NIfTI, 3D Slicer)."""

    @classmethod
    def parse(cls, name: str) -> Frame:
        """The frame of this name, in any case.

        Raises:
            PromptError: Naming those that there are.
        """
        try:
            return cls(name.strip().lower())
        except ValueError:
            known = ", ".join(repr(frame.value) for frame in cls)
            raise PromptError(
                f"unknown frame {name!r}; expected one of {known}",
                violations=(Violation("frame", f"must be one of {known}"),),
            ) from None


@dataclass(frozen=True)
class ExtremePoints:
    """Six or more points on an object's leftmost, rightmost, foremost, hindmost, lowest and highest places.

    Attributes:
        points: (x, y, z) in ``frame``.
        frame: What the numbers mean; a :class:`Frame` or its name.

    Raises:
        PromptError: When the frame is unknown, a point has not three numbers, or a number is not finite.
    """

    points: Sequence[Point]
    frame: Frame = Frame.VOXEL

    def __post_init__(self) -> None:
        object.__setattr__(self, "frame", Frame.parse(self.frame))
        points = tuple(
            _point(point, name=f"point {number}", field=f"points[{number}]") for number, point in enumerate(self.points)
        )
        object.__setattr__(self, "points", points)

    def to_index(self, geometry: Geometry) -> Points:
        """The points as indices (x, y, z) of an image, shape [n, 3], rounded to 1/64 voxel.

        Raises:
            PromptError: When there are fewer than six or more than twenty, one lies outside the image, or all lie in
                one plane.
        """
        if not _FEWEST <= len(self.points) <= _MOST:
            raise PromptError(
                f"extreme points: expected {_FEWEST} to {_MOST} points, got {len(self.points)}",
                violations=(Violation("points", f"between {_FEWEST} and {_MOST} points"),),
            )
        index = _to_index(self.points, self.frame, geometry)
        _check_inside(index, geometry, what="points", fields=[f"points[{n}]" for n in range(len(index))])
        _check_solid(index)
        return index

    @classmethod
    def of_mask(cls, mask: Array) -> ExtremePoints:
        """The six exact extreme points of a mask: on each face of its box, the object's voxel nearest to their middle.

        Args:
            mask: [z, y, x]; the object is where it is not 0.

        Raises:
            PromptError: When the mask is empty.
        """
        array = np.asarray(mask)
        if not array.any():
            raise PromptError("an empty mask has no extreme points")
        points: list[Point] = []
        for axis in (2, 1, 0):
            filled = np.flatnonzero(array.any(axis=tuple(other for other in range(3) if other != axis)))
            for edge in (filled[0], filled[-1]):
                # Of a large object only its faces are listed.
                face = np.insert(np.argwhere(array.take(edge, axis=axis)), axis, edge, axis=1)[:, ::-1]
                x, y, z = face[np.square(face - face.mean(axis=0)).sum(axis=1).argmin()].tolist()
                points.append((x, y, z))
        return cls(points, Frame.VOXEL)


@dataclass(frozen=True)
class Box:
    """A box round an object, aligned with the image's axes, as two of its opposite corners.

    The corners are voxels of the box; which of the two is lower and which upper along an axis does not matter.

    Attributes:
        lower: One corner, (x, y, z) in ``frame``.
        upper: The opposite corner, (x, y, z) in ``frame``.
        frame: What the numbers mean; a :class:`Frame` or its name.

    Raises:
        PromptError: When the frame is unknown, a corner has not three numbers, or a number is not finite.
    """

    lower: Point
    upper: Point
    frame: Frame = Frame.VOXEL

    def __post_init__(self) -> None:
        object.__setattr__(self, "frame", Frame.parse(self.frame))
        for field in ("lower", "upper"):
            object.__setattr__(self, field, _point(getattr(self, field), name=f"box, {field} corner", field=field))

    def to_index(self, geometry: Geometry) -> Points:
        """The lower and the upper corner as indices (x, y, z) of an image, shape [2, 3], rounded to 1/64 voxel.

        Raises:
            PromptError: When a corner lies outside the image, or both lie in one slice along an axis.
        """
        index = _to_index((self.lower, self.upper), self.frame, geometry)
        _check_inside(index, geometry, what="corners", fields=["lower", "upper"])
        extent = np.ptp(index, axis=0)
        if extent.min() < _FLAT_BOX:
            raise PromptError(
                f"the box is flat: its corners are {_show(extent)} voxels apart along x, y and z. "
                "Draw it over two slices of the object or more along every axis",
                violations=(Violation("upper", "must not lie in one slice with lower"),),
            )
        return np.stack([index.min(axis=0), index.max(axis=0)])


@dataclass(frozen=True)
class Click:
    """A correction: the voxel under it belongs to the object (positive) or does not (negative).

    Attributes:
        point: (x, y, z) in ``frame``.
        positive: Whether the object is there.
        frame: What the numbers mean; a :class:`Frame` or its name.

    Raises:
        PromptError: When the frame is unknown, the point has not three numbers, a number is not finite, or ``positive``
            is neither true nor false.
    """

    point: Point
    positive: bool = True
    frame: Frame = Frame.VOXEL

    def __post_init__(self) -> None:
        object.__setattr__(self, "frame", Frame.parse(self.frame))
        object.__setattr__(self, "point", _point(self.point, name="click", field="point"))
        if not isinstance(self.positive, bool | np.bool_):
            raise PromptError(
                f"click: positive must be True or False, got {self.positive!r}",
                violations=(Violation("positive", "True or False"),),
            )
        object.__setattr__(self, "positive", bool(self.positive))

    def to_index(self, geometry: Geometry) -> Points:
        """The click as an index (x, y, z) of an image, shape [1, 3], rounded to 1/64 voxel.

        Raises:
            PromptError: When it lies outside the image.
        """
        index = _to_index((self.point,), self.frame, geometry)
        _check_inside(index, geometry, what="click", fields=["point"])
        return index


Prompt = ExtremePoints | Box | Click | InitialMask
"""One thing that a person shows: extreme points, a box or a mask begin an object, clicks correct the answer."""


def _point(values: object, *, name: str, field: str) -> Point:
    try:
        numbers = tuple(float(value) for value in values)  # type: ignore[attr-defined]  # what is no sequence raises
    except (TypeError, ValueError):
        numbers = ()
    if len(numbers) != 3 or not all(map(math.isfinite, numbers)):
        raise PromptError(
            f"{name}: expected three finite numbers (x, y, z), got {values}",
            violations=(Violation(field, "three finite numbers"),),
        )
    return numbers[0], numbers[1], numbers[2]


def _to_index(points: Sequence[Point], frame: Frame, geometry: Geometry) -> Points:
    given = np.array(points)
    if frame is Frame.RAS:
        given = given * np.array([-1.0, -1.0, 1.0])
    # Finite numbers may overflow here; :func:`_check_inside` refuses what they become.
    with np.errstate(over="ignore", invalid="ignore"):
        index = given if frame is Frame.VOXEL else geometry.point_to_index(given)
        return np.round(index * _STEPS_PER_VOXEL) / _STEPS_PER_VOXEL


def _check_inside(index: Points, geometry: Geometry, *, what: str, fields: Sequence[str]) -> None:
    # A voxel reaches half its width beyond its centre.
    upper = np.array(geometry.size) - 0.5
    # Said so that what is no number, after an overflow, is outside too.
    outside = [n for n, point in enumerate(index) if not ((point >= -0.5) & (point <= upper)).all()]
    if outside:
        bounds = f"x -0.5..{upper[0]}, y -0.5..{upper[1]}, z -0.5..{upper[2]}"
        place = "; ".join(f"{fields[n]} at voxel {_show(index[n])}" for n in outside)
        subject = f"{len(outside)} of {len(index)} {what} lie" if len(index) > 1 else f"the {what} lies"
        raise PromptError(
            f"{subject} outside the image, whose voxels span {bounds}: {place}",
            violations=tuple(Violation(fields[n], f"outside the image: {bounds}") for n in outside),
        )


def _check_solid(index: Points) -> None:
    spread = np.linalg.svd(index - index.mean(axis=0), compute_uv=False)
    extent = np.ptp(index, axis=0)
    if extent.min() <= 0 or spread[-1] < _FLAT:
        raise PromptError(
            "the points all lie in one plane, so they are not an object's extremes; "
            f"their extent is {_show(extent)} voxels. Click the lowest and highest slice of the object too",
            violations=(Violation("points", "must not all lie in one plane"),),
        )


def _show(values: Points) -> str:
    return "(" + ", ".join(f"{round(value, 3):g}" for value in values.tolist()) + ")"
