"""The prompts that points, boxes and strokes stand for. Pure functions."""

from __future__ import annotations

import math

import numpy as np

from gateway.http.nninteractive.interactions import PointSet, Region, StrokeDrawn
from gateway.http.windows.beginning import cube_around
from sixpoint.geometry import Geometry
from sixpoint.mask import PackedMask
from sixpoint.prompts import Click, Lasso, Scribble
from sixpoint.prompts.voxel_runs import VoxelRuns, check_voxel_count

__all__ = ["all_voxels", "drawn_prompt", "give_height", "surround", "with_object"]


def give_height(drawn: Region, geometry: Geometry) -> Region:
    """Estimate how far an object reaches along the axis on which its box is one voxel thick: as far as on the others.

    Over 43 labelled structures, 1, 1.25 and 1.5 times as far gave mean Dices of 0.627, 0.613 and 0.592, and the height
    of the network's answer 0.629. A lasso, of which extreme points are known, reaches farther.

    Args:
        drawn: The box.
        geometry: Geometry of the image.

    Returns:
        A box in the image, at least two voxels thick along each axis.
    """
    thin = drawn.thin_axes
    if len(thin) != 1:
        return surround(drawn, geometry) if thin else drawn
    (axis,) = thin
    edges = [(b - a + 1) * step for a, b, step in zip(drawn.lower, drawn.upper, geometry.spacing, strict=True)]
    half = max(1, round((sum(edges) - edges[axis]) / 4 / geometry.spacing[axis]))
    lower, upper = list(drawn.lower), list(drawn.upper)
    lower[axis] = max(0, lower[axis] - half)
    upper[axis] = min(geometry.size[axis] - 1, upper[axis] + half)
    return Region((lower[0], lower[1], lower[2]), (upper[0], upper[1], upper[2]))


def surround(inside: Region, geometry: Geometry) -> Region:
    """Estimate where an object is of which a part is known: a cube as round a point, and all of the part.

    Args:
        inside: Part of the object.
        geometry: Geometry of the image.
    """
    return _join(inside, Region(*cube_around(inside.middle, geometry)))


def drawn_prompt(drawn: PointSet | StrokeDrawn) -> Click | Scribble | Lasso:
    """Return the prompt that a point or a stroke, with voxels, is."""
    if isinstance(drawn, PointSet):
        return Click(drawn.voxel, drawn.positive)
    assert drawn.voxels is not None
    return (Lasso if drawn.lasso else Scribble)(drawn.voxels, drawn.positive)


def with_object(region: Region, mask: PackedMask) -> Region:
    """The smallest region that contains a region and an object."""
    if not mask.voxel_count:
        return region
    x, y, z = mask.upper
    return _join(region, Region(mask.lower, (x - 1, y - 1, z - 1)))


def all_voxels(region: Region) -> VoxelRuns:
    """The voxels of a region, packed.

    Raises:
        PromptError: There are too many.
    """
    sides = [range(a, b + 1) for a, b in zip(region.lower, region.upper, strict=True)]
    check_voxel_count(math.prod(map(len, sides)), what="box")
    return VoxelRuns.of(np.stack(np.meshgrid(*sides, indexing="ij"), axis=-1).reshape(-1, 3), what="box")


def _join(first: Region, second: Region) -> Region:
    low = [min(pair) for pair in zip(first.lower, second.lower, strict=True)]
    high = [max(pair) for pair in zip(first.upper, second.upper, strict=True)]
    return Region((low[0], low[1], low[2]), (high[0], high[1], high[2]))
