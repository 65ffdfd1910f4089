"""What clients of nnInteractive say about an object: points, boxes and masks, checked, in our voxels.

Clients count voxels along the axes of their array, whose first one is the slices: the reverse of our (x, y, z).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from sixpoint._typing import Index
from sixpoint.errors import InvalidArgument, PromptError
from sixpoint.prompts import InitialMask
from sixpoint.prompts.voxel_runs import VoxelRuns

__all__ = [
    "BoxDrawn",
    "Interaction",
    "PointSet",
    "Region",
    "Seed",
    "StrokeDrawn",
    "read_bounds",
    "read_box",
    "read_flag",
    "read_point",
]


@dataclass(frozen=True)
class Region:
    """A box of voxels.

    Attributes:
        lower: First voxel (x, y, z).
        upper: Last voxel (x, y, z).
    """

    lower: Index
    upper: Index

    @property
    def middle(self) -> Index:
        """The voxel in the middle (x, y, z)."""
        x, y, z = ((a + b) // 2 for a, b in zip(self.lower, self.upper, strict=True))
        return x, y, z

    @property
    def thin_axes(self) -> tuple[int, ...]:
        """The axes along which the region is one voxel thick."""
        return tuple(axis for axis in range(3) if self.lower[axis] == self.upper[axis])


@dataclass(frozen=True)
class PointSet:
    """A point.

    Attributes:
        voxel: The voxel (x, y, z).
        positive: Whether it belongs to the object.
    """

    voxel: Index
    positive: bool


@dataclass(frozen=True)
class BoxDrawn:
    """A box, mostly one voxel thick: viewers draw it on a slice.

    Attributes:
        region: Its voxels.
        positive: Whether the object is in it; else nothing in it belongs to the object.
    """

    region: Region
    positive: bool


@dataclass(frozen=True)
class Seed:
    """A mask that the client has.

    Attributes:
        mask: The mask; None for an empty one.
    """

    mask: InitialMask | None


@dataclass(frozen=True)
class StrokeDrawn:
    """A scribble, or a lasso, which comes filled.

    Attributes:
        voxels: Its voxels; None if it has none.
        region: Box of them.
        positive: Whether they belong to the object.
        lasso: Whether the object ends at its border.
    """

    voxels: VoxelRuns | None
    region: Region
    positive: bool
    lasso: bool


Interaction = PointSet | BoxDrawn | StrokeDrawn | Seed
"""What a client says about an object."""


def read_point(body: Mapping[str, object], *, shape: Index) -> PointSet:
    """Read a point.

    Args:
        body: The call's JSON.
        shape: Voxels along the client's axes.

    Raises:
        PromptError: It is no point, or lies outside the image.
    """
    numbers = _numbers(body.get("coordinates"), count=3)
    if numbers is None:
        raise PromptError("coordinates is no point; expected three numbers, one for each axis of the image")
    for axis, (number, count) in enumerate(zip(numbers, shape, strict=True)):
        # A voxel extends half its width from its centre.
        if not -0.5 <= number <= count - 0.5:
            raise PromptError(
                f"the point lies outside the image: {number:g} along axis {axis}, whose voxels are 0 to {count - 1}"
            )
    first, second, third = (min(max(round(number), 0), n - 1) for number, n in zip(numbers, shape, strict=True))
    return PointSet((third, second, first), read_flag(body, "include_interaction"))


def read_box(body: Mapping[str, object], *, shape: Index) -> BoxDrawn:
    """Read a box.

    Args:
        body: The call's JSON.
        shape: Voxels along the client's axes.

    Raises:
        PromptError: It is no box, has no extent along an axis, or lies outside the image.
    """
    region = read_bounds(body.get("bbox_coords"), shape=shape, name="bbox_coords")
    return BoxDrawn(region, read_flag(body, "include_interaction"))


def read_bounds(value: object, *, shape: Index, name: str) -> Region:
    """Read a half-open box, clipped to the image.

    Args:
        value: The box: begin and end along each of the client's axes.
        shape: Voxels along these axes.
        name: Its name, for the error.

    Raises:
        PromptError: It is no box, has no extent along an axis, or lies outside the image.
    """
    pairs = [_numbers(pair, count=2) for pair in value] if isinstance(value, list) else []
    if len(pairs) != 3 or None in pairs:
        raise PromptError(f"{name} is no box; expected begin and end along each of the three axes: [[0, 1], ...]")
    lower, upper = [], []
    for axis, (pair, count) in enumerate(zip(pairs, shape, strict=True)):
        assert pair is not None
        low, high = sorted(pair)
        if low == high:
            raise PromptError(f"the box has no extent along axis {axis}; its end is one past its last voxel")
        begin, end = round(low), round(high)
        if end < 0 or begin > count or (end <= 0 and low < -1) or (begin >= count and high > count + 1):
            raise PromptError(
                f"the box lies outside the image: {low:g} to {high:g} along axis {axis}, whose voxels are 0 to "
                f"{count - 1}"
            )
        begin = min(max(begin, 0), count - 1)
        lower.append(begin)
        upper.append(max(min(end, count) - 1, begin))
    return Region((lower[2], lower[1], lower[0]), (upper[2], upper[1], upper[0]))


def read_flag(body: Mapping[str, object], name: str, *, default: bool | None = None) -> bool:
    """Read a truth value.

    Args:
        body: JSON of the call.
        name: Its key.
        default: What a missing one means; None if it must be there.

    Raises:
        InvalidArgument: It is something else, or missing.
    """
    value = body.get(name, default)
    if not isinstance(value, bool):
        raise InvalidArgument(f"{name} is missing, or neither true nor false")
    return value


def _numbers(value: object, *, count: int) -> list[float] | None:
    """Finite numbers; None if it is something else."""
    if not isinstance(value, list) or len(value) != count:
        return None
    if not all(isinstance(number, int | float) and not isinstance(number, bool) for number in value):
        return None
    try:
        numbers = [float(number) for number in value]
    except OverflowError:
        return None
    return numbers if all(map(math.isfinite, numbers)) else None
