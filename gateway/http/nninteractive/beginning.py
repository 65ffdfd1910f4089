"""Boxes that say less, or more, than a model needs. Pure functions."""

from __future__ import annotations

from gateway.http.nninteractive.interactions import Region
from sixpoint.geometry import Geometry

__all__ = ["give_height", "join"]


def give_height(drawn: Region, geometry: Geometry) -> Region:
    """Estimate how far an object reaches along the axes on which its box is one voxel thick: as far as on the others.

    More or less height made the mean Dice of 43 labelled structures worse, and so did the height of the answer.

    Args:
        drawn: The box, more than one voxel thick along an axis.
        geometry: Geometry of the image.

    Returns:
        A box in the image, at least two voxels thick along each axis: a flat one has no inside.
    """
    thin = drawn.thin_axes
    flat = [axis for axis in range(3) if axis not in thin]
    half = sum((drawn.upper[axis] - drawn.lower[axis] + 1) * geometry.spacing[axis] for axis in flat) / len(flat) / 2
    lower, upper = list(drawn.lower), list(drawn.upper)
    for axis in thin:
        voxels = max(1, round(half / geometry.spacing[axis]))
        lower[axis] = max(0, lower[axis] - voxels)
        upper[axis] = min(geometry.size[axis] - 1, upper[axis] + voxels)
    return Region((lower[0], lower[1], lower[2]), (upper[0], upper[1], upper[2]))


def join(first: Region, second: Region) -> Region:
    """The smallest region that contains two regions."""
    low = [min(pair) for pair in zip(first.lower, second.lower, strict=True)]
    high = [max(pair) for pair in zip(first.upper, second.upper, strict=True)]
    return Region((low[0], low[1], low[2]), (high[0], high[1], high[2]))
