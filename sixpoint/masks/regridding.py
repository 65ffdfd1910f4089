"""Put a mask onto its image's grid: by reordering axes, which is exact, or by nearest neighbours."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from sixpoint._typing import Array, Bools, Index, Ints, Points
from sixpoint.geometry import Geometry

__all__ = ["GridMap", "grid_offset", "map_grid", "reorder", "resample_nearest"]

# How far apart the voxels of two grids may lie, in voxels: slices of a series may lie as far from an even spacing.
_TOLERANCE = 0.1


@dataclass(frozen=True)
class GridMap:
    """A change of axes between two grids whose voxels lie at the same places.

    Attributes:
        axes: For each axis (x, y, z) of the new grid, which axis of the old grid it is.
        flips: For each axis of the new grid, whether it runs the other way.
        offset: Index (x, y, z) in the new grid of the old grid's first voxel.
    """

    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]
    offset: Index

    def apply(self, array: Array, lower: Index) -> tuple[Array, Index]:
        """Give a box of voxels the axes of the new grid.

        Args:
            array: Voxels [z, y, x] of the old grid.
            lower: Index (x, y, z) of the first of them.

        Returns:
            A view of the voxels [z, y, x] in the new grid, and the index (x, y, z) of the first of them; it may be
            outside the grid.
        """
        turned = array.transpose(2, 1, 0).transpose(self.axes)
        size = array.shape[::-1]
        first = []
        for new, (old, flip) in enumerate(zip(self.axes, self.flips, strict=True)):
            last = lower[old] + size[old] - 1
            first.append(self.offset[new] + (-last if flip else lower[old]))
            if flip:
                turned = np.flip(turned, new)
        return turned.transpose(2, 1, 0), (first[0], first[1], first[2])


def map_grid(old: Geometry, new: Geometry) -> GridMap | None:
    """How indices of one grid become those of another; None when their voxels do not lie at the same places.

    Args:
        old: Grid that voxels are given on.
        new: Grid that they are wanted on; one may be a part of the other.
    """
    origin, *ends = new.point_to_index(old.index_to_point([(0, 0, 0), *np.eye(3)]))
    steps = (np.array(ends) - origin).T
    for axis in range(3):
        if old.size[axis] == 1:
            # Across a single slice, a spacing says nothing about where voxels lie.
            steps[:, axis] /= np.abs(steps[:, axis]).max()
    whole = np.rint(steps)
    if not np.array_equal(np.abs(whole) @ np.abs(whole).T, np.eye(3)):
        return None
    offset = np.rint(origin)
    corners = np.array(list(itertools.product(*((0, n - 1) for n in old.size))))
    apart = (corners @ steps.T + origin) - (corners @ whole.T + offset)
    if np.abs(apart).max() > _TOLERANCE:
        return None
    a, b, c = (int(axis) for axis in np.abs(whole).argmax(axis=1))
    signs = whole.sum(axis=1) < 0
    return GridMap((a, b, c), (bool(signs[0]), bool(signs[1]), bool(signs[2])), tuple(map(int, offset)))  # type: ignore[arg-type]  # three


def reorder(array: Array, source: Geometry, target: Geometry) -> Array:
    """Give a label map [z, y, x] the axes of its image, which is exact.

    Args:
        array: Labels of every voxel.
        source: Grid of the labels.
        target: Grid of the image; its voxels must be those of ``source``, in any order.

    Raises:
        ValueError: The voxels lie at other places, or are fewer or more; the message has no subject.
    """
    grid_map = map_grid(source, target)
    if grid_map is not None:
        turned, lower = grid_map.apply(array, (0, 0, 0))
        if turned.shape == target.shape and lower == (0, 0, 0):
            return turned
    raise ValueError(
        f"lies on another grid than the image (size {source.size}, {grid_offset(source, target):.2f} mm off at a "
        f"corner; the image has {target.size}); resample it to the image's grid first, by nearest neighbours"
    )


def resample_nearest(mask: Bools, source: Geometry, target: Geometry) -> Bools:
    """Resample a mask: each voxel [z, y, x] of the target grid gets the value of the nearest one, 0 outside."""
    result = np.zeros(target.shape, np.bool_)
    y, x = np.meshgrid(np.arange(target.size[1]), np.arange(target.size[0]), indexing="ij")
    for z in range(target.size[2]):
        plane = np.stack([x.reshape(-1), y.reshape(-1), np.full(x.size, z)], axis=1)
        nearest: Ints = np.floor(source.point_to_index(target.index_to_point(plane)) + 0.5).astype(np.int32)
        inside = np.all((nearest >= 0) & (nearest < source.size), axis=1)
        i, j, k = nearest[inside].T
        result[z].reshape(-1)[inside] = mask[k, j, i]
    return result


def grid_offset(source: Geometry, target: Geometry) -> float:
    """Largest distance in mm from a corner of one grid to the nearest corner of the other."""
    own, other = source.index_to_point(_corners(source)), target.index_to_point(_corners(target))
    return float(np.linalg.norm(own[:, None] - other[None], axis=2).min(axis=0).max())


def _corners(geometry: Geometry) -> Points:
    """Indices (x, y, z) of the eight corners, shape [8, 3]."""
    return np.array(list(itertools.product((0, 1), repeat=3)), np.float64) * (np.array(geometry.size) - 1)
