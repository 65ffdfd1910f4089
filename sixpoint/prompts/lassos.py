"""Lassos: closed contours on one slice of an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from sixpoint._typing import Array, FrameName, Index, Ints, PointLike, Points
from sixpoint.errors import PromptError, Violation
from sixpoint.geometry import Geometry
from sixpoint.prompts.frames import Frame
from sixpoint.prompts.placing import STEPS_PER_VOXEL, Point, as_point, format_values, index_inside, nearest_voxels
from sixpoint.prompts.polygons import fill_polygon
from sixpoint.prompts.scribbles import check_sign
from sixpoint.prompts.voxel_grids import move_to_grid
from sixpoint.prompts.voxel_runs import MAX_VOXELS, VoxelRuns, sorted_voxels

__all__ = ["MAX_CONTOUR_POINTS", "Lasso"]

MAX_CONTOUR_POINTS = 2000
"""Points of a contour: one for each voxel along the border of a large organ."""

_MIN_POINTS = 3
_AXES = {"x": 0, "y": 1, "z": 2}
# The points of a contour lie this close together across its slice, in voxels: viewers and files round them.
_MAX_SPREAD = 1.0


@dataclass(frozen=True, init=False)
class Lasso:
    """A closed contour on one slice: the object fills it there (positive), or is nowhere in it (negative).

    The voxels whose centres lie inside the contour or on it are as the lasso says in the next mask, and in those after
    it until another prompt says otherwise. Where there is no object yet, a positive lasso starts one: its box says how
    far the object reaches in the slice, and the server estimates in how many slices it lies.

    Attributes:
        positive: Whether the object fills the contour.
        points: Corners (x, y, z) of the contour in ``frame``, in order; empty for a lasso that is given filled.
        frame: Frame of ``points``.
        axis: Image axis across the slice, 0 for x, 1 for y, 2 for z; None where the points say it.
        filled: Voxels inside a lasso that is given filled, in the image's own axes; None for a contour.
        extent: Box of the object that the lasso starts, where it is known: index (x, y, z) of its first voxel, and one
            past its last voxel. The steps of a session have the one that was used.
        grid: Grid of a file that ``filled`` was read from, which is compared with the image's; None if unknown.

    Raises:
        PromptError: The frame or the axis is unknown, there are too few or too many points, or one is not three finite
            numbers.
    """

    positive: bool
    points: tuple[Point, ...] = field(repr=False)
    frame: Frame
    axis: int | None
    filled: VoxelRuns | None
    extent: tuple[Index, Index] | None
    grid: Geometry | None

    def __init__(
        self,
        points: Sequence[PointLike] | Points | Array | VoxelRuns,
        positive: bool = True,
        frame: Frame | FrameName = Frame.VOXEL,
        *,
        axis: int | Literal["x", "y", "z"] | None = None,
        extent: tuple[Index, Index] | None = None,
        grid: Geometry | None = None,
    ) -> None:
        """Make a lasso.

        Args:
            points: Corners (x, y, z) of the contour in ``frame``, in order; the last one is joined to the first. Or
                the voxels inside, packed; see :meth:`of_mask`.
            positive: Whether the object fills the contour.
            frame: Frame of the points; it may be given by its name, "voxel", "lps" or "ras".
            axis: Image axis across the slice, such as "z"; needed only where the contour is a line.
            extent: Box of the object, where it is known: first voxel (x, y, z), and one past the last.
            grid: Grid that packed voxels lie on; None for the image's.
        """
        object.__setattr__(self, "positive", check_sign(positive, what="lasso"))
        object.__setattr__(self, "frame", Frame.parse(frame))
        object.__setattr__(self, "axis", _axis_number(axis))
        object.__setattr__(self, "extent", extent)
        object.__setattr__(self, "grid", grid)
        filled = points if isinstance(points, VoxelRuns) else None
        object.__setattr__(self, "filled", filled)
        object.__setattr__(self, "points", () if isinstance(points, VoxelRuns) else _corners(points))

    @classmethod
    def of_mask(cls, mask: Array, positive: bool = True, *, grid: Geometry | None = None) -> Lasso:
        """Make a lasso of its filled form.

        Args:
            mask: Mask [z, y, x] of the image's size, not 0 inside the lasso, which is on one slice.
            positive: Whether the object fills it.
            grid: Grid that the mask lies on; None for the image's.

        Raises:
            PromptError: The mask is empty, or not an array [z, y, x].
        """
        array = np.asarray(mask)
        if array.ndim != 3 or array.dtype.kind not in "biuf":
            raise PromptError(f"lasso: expected a mask [z, y, x], got an array of shape {array.shape}")
        return cls(VoxelRuns.of_mask(np.nan_to_num(array) != 0, what="lasso"), positive, grid=grid)

    def on_grid(self, geometry: Geometry) -> Lasso:
        """Return the lasso on the grid of an image: a filled form that was read from a file is moved there.

        Args:
            geometry: Geometry of the image.

        Raises:
            PromptError: The voxels of the file lie at other places than the image's, or exceed the image.
        """
        if self.filled is None or self.grid is None:
            return self
        moved = move_to_grid(self.filled, self.grid, geometry, what="lasso")
        return Lasso(moved, self.positive, axis=self.axis, extent=self.extent)

    def with_extent(self, extent: tuple[Index, Index] | None) -> Lasso:
        """Return the same lasso with another extent of the object."""
        points = self.points if self.filled is None else self.filled
        return Lasso(points, self.positive, self.frame, axis=self.axis, extent=extent, grid=self.grid)

    def max_voxels(self, geometry: Geometry) -> int:
        """Number of voxels that the lasso has at most; what it takes to know them is little.

        Raises:
            PromptError: A point lies outside the image, the points lie on several slices, or there are too many voxels.
        """
        if self.filled is not None:
            self.filled.check(what="lasso")
            return self.filled.voxel_count
        index, axis = self._placed(geometry)
        low, high = np.floor(index.min(axis=0) + 0.5), np.floor(index.max(axis=0) + 0.5)
        area = int(np.delete(high - low + 1, axis).prod())
        if area > MAX_VOXELS:
            raise PromptError(
                f"lasso: its box has {area} voxels, and {MAX_VOXELS} is the limit; draw a smaller one",
                violations=(Violation("points", f"a box of at most {MAX_VOXELS} voxels"),),
            )
        return area

    def voxels(self, geometry: Geometry) -> Ints:
        """The voxels (x, y, z) inside, in the image's own axes, shape [n, 3], in the order of z, y, x.

        Args:
            geometry: Geometry of the image.

        Raises:
            PromptError: A point lies outside the image, the points or voxels lie on several slices, or the filled form
                arrived damaged.
        """
        if self.filled is not None:
            filled = move_to_grid(self.filled, self.grid, geometry, what="lasso").voxels(geometry.size, what="lasso")
            _slice_axis(filled.astype(np.float64), self.axis, spread=0.0)
            return filled
        self.max_voxels(geometry)
        index, axis = self._placed(geometry)
        first, second = (other for other in range(3) if other != axis)
        # Counted from the box, so that products of the whole numbers below stay small.
        low = np.floor(index.min(axis=0) + 0.5).astype(np.int64)
        high = np.floor(index.max(axis=0) + 0.5).astype(np.int64)
        corners = np.rint((index - low) * STEPS_PER_VOXEL).astype(np.int64)[:, [first, second]]
        shape = int(high[second] - low[second]) + 1, int(high[first] - low[first]) + 1
        inside = fill_polygon(corners, shape=shape, unit=STEPS_PER_VOXEL)
        # A contour within one voxel, round no centre, means the voxels of its corners.
        placed = np.argwhere(inside)[:, [1, 0, 0]] + low[[first, second, axis]]
        voxels = placed[:, np.argsort([first, second, axis])] if inside.any() else nearest_voxels(index, geometry)
        # In the middle of what the points span, so that rounding errors move no contour to another slice.
        middle = (index.min(axis=0) + index.max(axis=0)) / 2
        voxels[:, axis] = nearest_voxels(middle[None], geometry)[0, axis]
        return sorted_voxels(voxels)

    def slice_axis(self, voxels: Ints) -> int:
        """Image axis across the slice of the lasso: 0 for x, 1 for y, 2 for z.

        Args:
            voxels: Result of :meth:`voxels`.
        """
        return _slice_axis(voxels.astype(np.float64), self.axis, spread=0.0)

    def to_index(self, geometry: Geometry) -> Points:
        """First and last voxel (x, y, z) of the lasso's box, shape [2, 3].

        Raises:
            PromptError: As :meth:`voxels` does; or the extent exceeds the image.
        """
        self.check_extent(geometry)
        voxels = self.voxels(geometry)
        return np.stack([voxels.min(axis=0), voxels.max(axis=0)]).astype(np.float64)

    def check_extent(self, geometry: Geometry) -> None:
        """Refuse an extent that is no box in the image.

        Raises:
            PromptError: The extent is empty, or exceeds the image.
        """
        if self.extent is None:
            return
        lower, upper = self.extent
        if not all(0 <= a < b <= n for a, b, n in zip(lower, upper, geometry.size, strict=True)):
            raise PromptError(
                f"lasso: its extent {lower} to {upper} is empty, or exceeds the image of size {geometry.size}",
                violations=(Violation("extent", "a box inside the image"),),
            )

    def _placed(self, geometry: Geometry) -> tuple[Points, int]:
        """The corners as indices (x, y, z), and the axis across their slice."""
        fields = [f"points[{n}]" for n in range(len(self.points))]
        index = index_inside(self.points, self.frame, geometry, what="points", fields=fields)
        return index, _slice_axis(index, self.axis, spread=_MAX_SPREAD)


def _slice_axis(index: Points, axis: int | None, *, spread: float) -> int:
    """The axis across the slice that points or voxels lie on; between points, some spread is allowed.

    Raises:
        PromptError: They lie on several slices.
    """
    extent = np.ptp(index, axis=0)
    # Of a line along an axis any other axis would do; the last one is across the slices that people look at.
    chosen = 2 - int(extent[::-1].argmin()) if axis is None else axis
    if extent[chosen] > spread:
        raise PromptError(
            f"lasso: it lies on several slices: its extent is {format_values(extent)} voxels along x, y and z; draw it "
            "on one slice of the image",
            violations=(Violation("points" if spread else "filled", "on one slice"),),
        )
    return chosen


def _axis_number(axis: int | str | None) -> int | None:
    if axis is None:
        return None
    number = _AXES.get(axis.strip().lower(), -1) if isinstance(axis, str) else axis
    if number not in (0, 1, 2):
        raise PromptError(
            f"lasso: axis {axis!r}; expected 'x', 'y' or 'z'", violations=(Violation("axis", "x, y or z"),)
        )
    return int(number)


def _corners(values: object) -> tuple[Point, ...]:
    if isinstance(values, str):
        raise PromptError("lasso: expected a sequence of points (x, y, z), got a text; read_lasso reads a file")
    try:
        corners = list(values)  # type: ignore[call-overload]  # TypeError if it is no sequence
    except TypeError:
        corners = []
    if not _MIN_POINTS <= len(corners) <= MAX_CONTOUR_POINTS:
        raise PromptError(
            f"lasso: expected {_MIN_POINTS} to {MAX_CONTOUR_POINTS} points of a contour, got {len(corners)}",
            violations=(Violation("points", f"between {_MIN_POINTS} and {MAX_CONTOUR_POINTS} points"),),
        )
    return tuple(as_point(corner, name=f"lasso, point {n}", field=f"points[{n}]") for n, corner in enumerate(corners))
