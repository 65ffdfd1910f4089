"""What clicks demand of an answer, on the ROI's grid: that they hold, and that nothing far from them changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK as sitk

from sixpoint.roi import Roi, resampling_matrix

__all__ = ["REACH", "components", "hold", "settle"]

Float = npt.NDArray[np.float32]
Points = npt.NDArray[np.float64]

REACH = 0.25
"""How far from a click the answer may change without touching its neighbourhood, in edges of the ROI."""


def components(inside: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
    """The 26-connected components of a mask [z, y, x], numbered from 1; 0 outside of it."""
    labels: npt.NDArray[Any] = sitk.GetArrayFromImage(
        sitk.ConnectedComponent(sitk.GetImageFromArray(inside.astype(np.uint8)), True)
    )
    return labels


def settle(grid: Float, previous: Float, clicks: Points, *, threshold: float, reach: float = REACH) -> Float:
    """A corrected answer that differs from the previous one only where the clicks give a reason.

    The regions (26-connected) where the two are on different sides of the threshold, and that do not come within reach
    of any click, keep the previous answer's probabilities.

    Args:
        grid: The new probabilities [z, y, x].
        previous: The answer that the clicks corrected, on the same grid.
        clicks: The new clicks (x, y, z) in the ROI's frame (-1 to 1), shape [n, 3].
        threshold: Probability from which on a cell belongs to the object.
        reach: In edges of the ROI; infinity takes the new answer as it is.
    """
    changed = (grid >= np.float32(threshold)) != (previous >= np.float32(threshold))
    z, y, x = (((np.arange(n) + 0.5) / n).astype(np.float32) for n in grid.shape)
    near = np.zeros(grid.shape, np.bool_)
    for click in (clicks + 1.0) / 2.0:
        cx, cy, cz = click.astype(np.float32)
        squares = ((z - cz) ** 2)[:, None, None] + (((y - cy) ** 2)[:, None] + (x - cx) ** 2)
        near |= squares <= reach * reach
    labels = components(changed)
    far = changed & ~np.isin(labels, np.unique(labels[near & changed]))
    return np.where(far, previous, grid)


def hold(
    grid: Float, voxels: npt.NDArray[np.int64], positive: npt.NDArray[np.bool_], *, roi: Roi, threshold: float
) -> Float:
    """Probabilities under which every clicked voxel, resampled, is on the side that its click says.

    Where a click is violated, the cells that its voxel is resampled from are moved to the threshold, or to just below
    it. Of clicks that share cells the later one has its way.

    Args:
        grid: Probabilities [z, y, x] on the ROI's grid.
        voxels: The clicked voxels (x, y, z), canonical, inside the ROI; shape [n, 3].
        positive: Whether the object is there, shape [n].
        roi: The ROI.
        threshold: Probability from which on a voxel belongs to the object.
    """
    result = grid.copy()
    cut = np.float32(threshold)
    below = np.nextafter(cut, np.float32(0))
    for voxel, inside in zip(voxels, positive, strict=True):
        cells, weights = _cells(roi, voxel)
        part = result[cells]
        if (float(np.einsum("zyx,z,y,x", part, *weights)) >= threshold) != inside:
            # A view: this writes into the result.
            part[...] = np.maximum(part, cut) if inside else np.minimum(part, below)
    return result


def _cells(roi: Roi, voxel: npt.NDArray[np.int64]) -> tuple[tuple[slice, ...], list[Float]]:
    """The cells that a voxel is resampled from, as slices along z, y and x, and their weights along each."""
    slices, weights = [], []
    for axis in (2, 1, 0):
        step = roi.step[axis]
        centre = (np.array([voxel[axis]], np.float64) - roi.lower[axis]) / step - 0.5
        first, matrix = resampling_matrix(centre, extent=roi.size[axis], width=1.0 / step)
        used = np.flatnonzero(matrix[0])
        slices.append(slice(first + int(used[0]), first + int(used[-1]) + 1))
        weights.append(matrix[0, used[0] : used[-1] + 1])
    return tuple(slices), weights
