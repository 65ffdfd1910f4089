"""Initial masks: resample them onto the network's grid, and merge the network's changes into them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gateway.core.annotation.corrections import quantise, threshold_count
from gateway.core.annotation.object_extent import ObjectExtent
from sixpoint._typing import Bools, Counts, Size
from sixpoint.preprocessing import Roi

__all__ = ["merge_changes", "sample_mask"]


# Transferring a prediction to a larger ROI blurs it a little: differences below this, in 255ths, are not changes.
_BLUR = 48


def sample_mask(extent: ObjectExtent, roi: Roi, *, size: Size) -> Counts:
    """Resample an initial mask onto the ROI's grid: the fraction of each cell that it fills, in 255ths.

    Args:
        extent: Extent of an object that an initial mask started.
        roi: Region of interest.
        size: Size (x, y, z) of the canonical image.
    """
    low, high = roi.voxel_bounds(size)
    cropped = _crop(extent, low, high).view(np.uint8)
    moved = replace(
        roi,
        lower=(roi.lower[0] - low[0], roi.lower[1] - low[1], roi.lower[2] - low[2]),
        upper=(roi.upper[0] - low[0], roi.upper[1] - low[1], roi.upper[2] - low[2]),
    )
    return quantise(moved.extract(cropped))


def merge_changes(
    mask: Bools,
    lower: Size,
    counts: Counts,
    extent: ObjectExtent,
    *,
    roi: Roi,
    size: Size,
    threshold: float,
    may_grow: bool,
) -> tuple[Bools, Size]:
    """Merge the changes of a prediction into the initial mask.

    The initial mask keeps its fine border, except in cells that crossed the threshold and in their neighbours.

    Args:
        mask: Mask of the prediction, bool [z, y, x], canonical.
        lower: Index (x, y, z) of the first voxel of ``mask``.
        counts: Probabilities [z, y, x] of the prediction on the ROI's grid, in 255ths.
        extent: Extent of the object, which an initial mask started.
        roi: Region of interest.
        size: Size (x, y, z) of the canonical image.
        threshold: Smallest probability of the object's cells.
        may_grow: Whether voxels outside the initial mask may be added: not while all clicks are negative.

    Returns:
        A mask of the voxels that the ROI covers, bool [z, y, x], and the index (x, y, z) of its first voxel.
    """
    cut = threshold_count(threshold)
    low, high = roi.voxel_bounds(size)
    result = _crop(extent, low, high)
    before = sample_mask(extent, roi, size=size)
    changed = ((counts >= cut) != (before >= cut)) & (abs(counts.astype(np.int16) - before) >= _BLUR)
    if changed.any():
        near = _dilate(changed)
        predicted = np.zeros_like(result)
        z, y, x = (slice(a - b, a - b + n) for a, b, n in zip(lower[::-1], low[::-1], mask.shape, strict=True))
        predicted[z, y, x] = mask
        cells = [
            np.clip(((np.arange(a, b) - edge) / step).astype(int), 0, n - 1)
            for a, b, edge, step, n in zip(low, high, roi.lower, roi.cell_size, roi.size, strict=True)
        ]
        # Axis by axis: one index of all three takes ten times as long.
        for axis, index in enumerate(reversed(cells)):
            near = near.take(index, axis=axis)
        if not may_grow:
            # Beside what is removed, the coarse border of the prediction is not the fine one of the mask.
            predicted &= result
        np.copyto(result, predicted, where=near)
    return result, low


def _crop(extent: ObjectExtent, low: Size, high: Size) -> Bools:
    """Crop the initial mask to a box of voxels, from ``low`` to below ``high`` (x, y, z)."""
    assert extent.mask is not None
    result = np.zeros([b - a for a, b in zip(low[::-1], high[::-1], strict=True)], np.bool_)
    first = extent.box[0].astype(int)
    into, taken = [], []
    for axis in (2, 1, 0):
        begin = max(int(first[axis]), low[axis])
        end = max(begin, min(int(first[axis]) + extent.mask.shape[2 - axis], high[axis]))
        into.append(slice(begin - low[axis], end - low[axis]))
        taken.append(slice(begin - int(first[axis]), end - int(first[axis])))
    result[tuple(into)] = extent.mask[tuple(taken)]
    return result


def _dilate(cells: Bools) -> Bools:
    """Add the cells that touch the given ones (26-connected)."""
    for axis in range(3):
        grown = cells.copy()
        front = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
        back = tuple(slice(None, -1) if a == axis else slice(None) for a in range(3))
        grown[front] |= cells[back]
        grown[back] |= cells[front]
        cells = grown
    return cells
