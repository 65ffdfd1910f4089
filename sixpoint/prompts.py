"""What a person clicked, with the frame that the numbers are in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from sixpoint.errors import PromptError, Violation
from sixpoint.geometry import Geometry

__all__ = ["ExtremePoints", "Frame"]

Point = tuple[float, float, float]

_FEWEST = 6
# Far more than anybody clicks; the guidance's cost grows with the cube of it.
_MOST = 20
# Points are rounded to this fraction of a voxel: the same points in voxels, and in LPS and RAS as people type them (two
# decimals of a mm), then give the same mask, bit for bit. A power of two, so that mirroring an axis is exact too.
_STEPS_PER_VOXEL = 2**6
# The thinnest a set of extreme points may be across its own best plane, in voxels (root of the summed squares).
_FLAT = 0.25


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

    The prompt of DEXTR (Maninis et al., CVPR 2018) in three dimensions. Their order does not matter.

    Attributes:
        points: (x, y, z) each, in ``frame``.
        frame: What the numbers mean; a :class:`Frame` or its name.

    Raises:
        PromptError: When the frame is unknown, a point has not three numbers, or a number is not finite.
    """

    points: Sequence[Point]
    frame: Frame = Frame.VOXEL

    def __post_init__(self) -> None:
        object.__setattr__(self, "frame", Frame.parse(self.frame))
        points: list[Point] = []
        for number, point in enumerate(self.points):
            try:
                values = tuple(float(value) for value in point)
            except (TypeError, ValueError):
                values = ()
            if len(values) != 3 or not all(map(math.isfinite, values)):
                raise PromptError(
                    f"point {number}: expected three finite numbers (x, y, z), got {point}",
                    violations=(Violation(f"points[{number}]", "three finite numbers"),),
                )
            points.append((values[0], values[1], values[2]))
        object.__setattr__(self, "points", tuple(points))

    def to_index(self, geometry: Geometry) -> npt.NDArray[np.float64]:
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
        given = np.array(self.points)
        if self.frame is Frame.RAS:
            given = given * np.array([-1.0, -1.0, 1.0])
        index = given if self.frame is Frame.VOXEL else geometry.point_to_index(given)
        index = np.round(index * _STEPS_PER_VOXEL) / _STEPS_PER_VOXEL
        self._check_inside(index, geometry)
        _check_solid(index)
        return index

    @classmethod
    def of_mask(cls, mask: npt.NDArray[Any]) -> ExtremePoints:
        """The six exact extreme points of a mask: on each face of its box, the object's voxel nearest to their middle.

        Args:
            mask: [z, y, x]; the object is where it is not 0.

        Raises:
            PromptError: When the mask is empty.
        """
        filled = np.argwhere(mask)[:, ::-1]
        if not len(filled):
            raise PromptError("an empty mask has no extreme points")
        points: list[Point] = []
        for axis in range(3):
            for edge in (filled[:, axis].min(), filled[:, axis].max()):
                face = filled[filled[:, axis] == edge]
                x, y, z = face[np.square(face - face.mean(axis=0)).sum(axis=1).argmin()].tolist()
                points.append((x, y, z))
        return cls(points, Frame.VOXEL)

    def _check_inside(self, index: npt.NDArray[np.float64], geometry: Geometry) -> None:
        # A voxel reaches half its width beyond its centre.
        upper = np.array(geometry.size) - 0.5
        # Said so that what is no number, after an overflow, is outside too.
        outside = [n for n, point in enumerate(index) if not ((point >= -0.5) & (point <= upper)).all()]
        if outside:
            bounds = f"x -0.5..{upper[0]}, y -0.5..{upper[1]}, z -0.5..{upper[2]}"
            place = "; ".join(f"points[{n}] at voxel {_show(index[n])}" for n in outside)
            raise PromptError(
                f"{len(outside)} of {len(index)} points lie outside the image, whose voxels span {bounds}: {place}",
                violations=tuple(Violation(f"points[{n}]", f"outside the image: {bounds}") for n in outside),
            )


def _check_solid(index: npt.NDArray[np.float64]) -> None:
    spread = np.linalg.svd(index - index.mean(axis=0), compute_uv=False)
    extent = np.ptp(index, axis=0)
    if extent.min() <= 0 or spread[-1] < _FLAT:
        raise PromptError(
            "the points all lie in one plane, so they are not an object's extremes; "
            f"their extent is {_show(extent)} voxels. Click the lowest and highest slice of the object too",
            violations=(Violation("points", "must not all lie in one plane"),),
        )


def _show(values: npt.NDArray[np.float64]) -> str:
    return "(" + ", ".join(f"{round(value, 3):g}" for value in values.tolist()) + ")"
