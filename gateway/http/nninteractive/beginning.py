"""The prompts that boxes and strokes stand for, where they say less than a model needs. Pure functions."""

from __future__ import annotations

import math

import numpy as np

from gateway.http.nninteractive.interactions import Region, StrokeDrawn
from gateway.http.windows.beginning import box_prompt, cube_around
from sixpoint.errors import NothingToCorrect
from sixpoint.geometry import Geometry
from sixpoint.mask import PackedMask
from sixpoint.model_spec import ModelSpec
from sixpoint.prompts import Lasso, Prompt, Scribble
from sixpoint.prompts.voxel_runs import VoxelRuns, check_voxel_count

__all__ = ["all_voxels", "give_height", "stroke_prompts", "surround", "with_object"]


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


def stroke_prompts(stroke: StrokeDrawn, geometry: Geometry, spec: ModelSpec, *, has_object: bool) -> list[Prompt]:
    """Return the prompts that a stroke stands for.

    Args:
        stroke: The stroke, with voxels.
        geometry: Geometry of the image.
        spec: Spec of the model.
        has_object: Whether there is an object, which it corrects.

    Raises:
        NothingToCorrect: It is negative, and there is no object.
    """
    assert stroke.voxels is not None
    drawn = (Lasso if stroke.lasso else Scribble)(stroke.voxels, stroke.positive)
    if has_object or spec.begun_by_clicks:
        return [drawn]
    if not stroke.positive:
        raise NothingToCorrect("there is no object yet: begin it with a positive prompt")
    if stroke.lasso:
        return [drawn]
    region = surround(stroke.region, geometry)
    return [box_prompt(region.lower, region.upper, spec), drawn]


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
