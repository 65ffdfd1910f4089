"""Scribbles and lassos on the network's grid, and the clicks that stand for them: training and serving share both.

A network that takes clicks was trained with few of them: all voxels of a scribble at once, as clicks, make its answer
worse (with twelve true clicks in one error Dice falls by 0.026). So a stroke is shown to it as one click in its middle,
and its voxels are enforced in the answer.
"""

from __future__ import annotations

import numpy as np

from sixpoint._typing import Array, Bools, Counts, Float, Ints, Points, Shape, Size, Vector
from sixpoint.preprocessing.roi import Roi

__all__ = ["cells_of_voxels", "estimate_object_box", "outline_extremes", "representative_clicks", "set_stroke_cells"]

# Edge of the grid on which the deepest place is searched: finer than a person aims.
_SEARCH_CELLS = 48
# Extent of an object across the slice of its outline, in extents of the outline.
_THICKNESS = 1.4


def representative_clicks(voxels: Ints, *, spacing: Vector, count: int = 1) -> Points:
    """Choose the clicks that stand for a stroke.

    The first one is where the stroke is deepest: farthest from its border by the Euclidean distance transform, as the
    simulated clicks of the CVPR 2025 challenge "Foundation Models for Interactive 3D Biomedical Image Segmentation"
    and of nnInteractive (Isensee et al. 2025) are. Of places that are equally deep, as on a line, it is the one nearest
    to the stroke's centre of gravity. Each further one is the voxel farthest from those before it (Gonzalez 1985).

    Args:
        voxels: Voxels (x, y, z) of the stroke, shape [n, 3], in a fixed order, which decides between equals.
        spacing: Spacing of the image, mm along (x, y, z).
        count: Number of clicks; fewer where the stroke has fewer voxels.

    Returns:
        Voxels (x, y, z) of the stroke, shape [count, 3].
    """
    chosen = [_deepest(voxels, spacing)]
    distances = np.full(len(voxels), np.inf)
    while len(chosen) < min(count, len(voxels)):
        apart = (voxels - voxels[chosen[-1]]) * np.asarray(spacing, np.float64)
        distances = np.minimum(distances, np.square(apart).sum(axis=1))
        chosen.append(int(distances.argmax()))
    return voxels[chosen].astype(np.float64)


def estimate_object_box(
    voxels: Ints, *, spacing: Vector, image_size: Size, axis: int | None = None
) -> tuple[Size, Size]:
    """Estimate the box of an object from its outline on one slice: exact in the slice, and across it 1.4 times as far,
    to both sides, as the outline reaches in it on average.

    On 38 structures, outlined where they are largest, factors of 0.6, 1, 1.4 and 2 gave mean Dices of 0.544, 0.624,
    0.638 and 0.633; their true extent across the slice gives 0.685.

    Args:
        voxels: Voxels (x, y, z) inside the outline, shape [n, 3].
        spacing: Spacing of the image, mm along (x, y, z).
        image_size: Voxels of the image along (x, y, z).
        axis: Axis across the slice, 0 for x, 1 for y, 2 for z; None for that along which the outline is thinnest.

    Returns:
        First voxel (x, y, z) of the box, and one past its last voxel.
    """
    low, high = voxels.min(axis=0), voxels.max(axis=0)
    across = 2 - int((high - low)[::-1].argmin()) if axis is None else axis
    edges = (high - low + 1) * np.asarray(spacing)
    reach = max(1, round(_THICKNESS * float(np.delete(edges, across).mean()) / 2 / spacing[across]))
    low[across] = max(0, low[across] - reach)
    high[across] = min(image_size[across] - 1, high[across] + reach)
    (ax, ay, az), (bx, by, bz) = low.tolist(), (high + 1).tolist()
    return (ax, ay, az), (bx, by, bz)


def outline_extremes(voxels: Ints, box: Points) -> Points:
    """Choose the extreme points of an object from its outline on one slice: those of the outline, and the middles of
    the slices where the object ends.

    With them the network outlines better than with the box alone: by 0.011 of Dice on the mean of 38 structures.

    Args:
        voxels: Voxels (x, y, z) inside the outline, shape [n, 3], in a fixed order, which decides between equals.
        box: Lower and upper corner (x, y, z) of the object's box, shape [2, 3].

    Returns:
        Six points, shape [6, 3]; none if the box reaches farther in the slice than the outline.
    """
    low, high = voxels.min(axis=0), voxels.max(axis=0)
    beyond = (box[0] < low) | (box[1] > high)
    if np.count_nonzero(beyond) > 1:
        return np.empty((0, 3))
    across = int(beyond.argmax()) if beyond.any() else 2 - int((high - low)[::-1].argmin())
    points = []
    for axis in range(3):
        for edge, limit in ((low[axis], box[0][axis]), (high[axis], box[1][axis])):
            if axis == across:
                points.append(np.where(np.arange(3) == axis, limit, voxels.mean(axis=0)))
            else:
                face = voxels[voxels[:, axis] == edge].astype(np.float64)
                points.append(face[np.square(face - face.mean(axis=0)).sum(axis=1).argmin()])
    return np.array(points)


def _deepest(voxels: Ints, spacing: Vector) -> int:
    """Number of the voxel farthest from the border of a stroke."""
    low, high = voxels.min(axis=0), voxels.max(axis=0)
    factor = -(-(high - low + 1) // _SEARCH_CELLS)
    x, y, z = ((voxels - low) // factor).T
    grid = np.zeros(((high - low) // factor + 1)[::-1], np.bool_)
    grid[z, y, x] = True
    depth = _squared_depth(grid, (np.asarray(spacing, np.float64) * factor)[::-1])
    # Distances are sums of squares: equal depths may differ in the last bits.
    deepest = np.flatnonzero((depth >= depth.max() * (1 - 1e-6))[z, y, x])
    off_centre = (voxels[deepest] - voxels.mean(axis=0)) * np.asarray(spacing, np.float64)
    return int(deepest[np.square(off_centre).sum(axis=1).argmin()])


def _squared_depth(grid: Bools, steps: Array) -> Float:
    """Squared distance of each cell [z, y, x] to the nearest one that is not set, along axes of several cells.

    Args:
        grid: Cells of the stroke; outside the array none is set.
        steps: Distance of neighbours along z, y and x.
    """
    result = np.where(np.pad(grid, 1), np.float32(np.inf), np.float32(0))
    for axis in range(3):
        if grid.shape[axis] == 1:
            # A stroke on one slice is as thin there as it can be.
            result = result.take([1], axis=axis)
            continue
        source = np.moveaxis(result, axis, 0)
        target = np.full_like(source, np.inf)
        squares = np.square(np.arange(len(source), dtype=np.float32) * np.float32(steps[axis]))
        for place, values in enumerate(source):
            apart = np.abs(np.arange(len(source)) - place)
            np.minimum(target, values + squares[apart][:, None, None], out=target)
        result = np.moveaxis(target, 0, axis)
    inner = tuple(slice(1, -1) if n > 1 else slice(None) for n in grid.shape)
    return np.asarray(result[inner], np.float32)


def cells_of_voxels(voxels: Ints, roi: Roi) -> Bools:
    """Mark the cells of an ROI's grid that voxels take up.

    A voxel takes up the cells whose centres lie in it, and the cell that its own centre lies in.

    Args:
        voxels: Canonical voxels (x, y, z), shape [n, 3]; those outside the ROI are left out.
        roi: Region with the grid.

    Returns:
        Cells [z, y, x].
    """
    size, lower, step = np.array(roi.size), np.array(roi.lower), np.array(roi.cell_size)
    shape: Shape = (roi.size[2], roi.size[1], roi.size[0])
    grid = np.zeros(shape, np.bool_)
    centres = (voxels - lower) / step
    voxels, centres = (part[((centres >= 0) & (centres <= size)).all(axis=1)] for part in (voxels, centres))
    if not len(voxels):
        return grid
    own = np.minimum(np.floor(centres), size - 1)
    first = np.ceil((voxels - 0.5 - lower) / step - 0.5)
    last = np.ceil((voxels + 0.5 - lower) / step - 0.5) - 1
    first = np.clip(np.minimum(first, own), 0, size - 1).astype(np.int64)
    last = np.clip(np.maximum(last, own), 0, size - 1).astype(np.int64)
    for offset in np.ndindex(tuple((last - first).max(axis=0) + 1)):
        x, y, z = np.minimum(first + offset, last).T
        grid[z, y, x] = True
    return grid


def set_stroke_cells(counts: Counts, cells: Bools, *, positive: bool, inside: int, outside: int) -> Counts:
    """Bring the cells of a stroke to its side of the threshold; those that are there already stay as they are.

    Args:
        counts: Probabilities [z, y, x], in 255ths.
        cells: Cells of the stroke [z, y, x].
        positive: Whether the stroke belongs to the object.
        inside: Smallest probability of a cell of a positive stroke.
        outside: Largest probability of a cell of a negative stroke.
    """
    bounded = np.maximum(counts, np.uint8(inside)) if positive else np.minimum(counts, np.uint8(outside))
    return np.where(cells, bounded, counts)
