"""Move the voxels of a file onto the grid of an image, which is exact."""

from __future__ import annotations

import numpy as np

from sixpoint.errors import PromptError, Violation
from sixpoint.geometry import Geometry
from sixpoint.masks.regridding import grid_offset, map_grid
from sixpoint.prompts.voxel_runs import VoxelRuns

__all__ = ["move_to_grid"]


def move_to_grid(runs: VoxelRuns, grid: Geometry | None, geometry: Geometry, *, what: str) -> VoxelRuns:
    """Return voxels on the grid of an image, whose axes may be flipped or in another order.

    Args:
        runs: Voxels on ``grid``.
        grid: Grid of a file; None for the image's.
        geometry: Geometry of the image.
        what: Name of the prompt, for the error.

    Raises:
        PromptError: The voxels lie at other places than the image's, or exceed the image.
    """
    if grid is None or grid.same_grid(geometry):
        return runs
    grid_map = map_grid(grid, geometry)
    if grid_map is None:
        raise PromptError(
            f"{what}: it lies on another grid than the image (size {grid.size}, {grid_offset(grid, geometry):.2f} mm "
            f"off at a corner; the image has {geometry.size}); draw it on the image's grid",
            violations=(Violation("voxels", "on the image's grid"),),
        )
    own = runs.voxels(grid.size, what=what)
    moved = own[:, grid_map.axes] * np.where(grid_map.flips, -1, 1) + np.array(grid_map.offset)
    if ((moved < 0) | (moved >= geometry.size)).any():
        raise PromptError(
            f"{what}: it exceeds the image of size {geometry.size}; draw it on this image",
            violations=(Violation("voxels", "inside the image"),),
        )
    return VoxelRuns.of(moved, what=what)
