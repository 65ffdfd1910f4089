"""A mask that a person brought along: how a network sees it, and how what it changes is put into it."""

from __future__ import annotations

import numpy as np

from gateway.core.annotation.corrections import quantise, threshold_count
from gateway.core.annotation.prompt_state import ObjectExtent
from sixpoint._typing import Bools, Counts, Size
from sixpoint.preprocessing.roi import Roi

__all__ = ["merge_changes", "sample_mask"]


# An answer that was brought from one ROI to a larger one is a little blurred: smaller differences, in 255ths, are no
# change.
_BLUR = 48


def sample_mask(extent: ObjectExtent, roi: Roi, *, size: Size) -> Counts:
    """The mask on the ROI's grid, in 255ths of what it fills of each cell.

    Args:
        extent: Of an object that a mask began.
        roi: Whose grid.
        size: Of the canonical image, (x, y, z).
    """
    low, high = roi.voxel_bounds(size)
    held = _crop(extent, low, high).astype(np.uint8)
    moved = Roi(
        lower=(roi.lower[0] - low[0], roi.lower[1] - low[1], roi.lower[2] - low[2]),
        upper=(roi.upper[0] - low[0], roi.upper[1] - low[1], roi.upper[2] - low[2]),
        size=roi.size,
    )
    return quantise(moved.extract(held))


def merge_changes(
    mask: Bools, lower: Size, counts: Counts, extent: ObjectExtent, *, roi: Roi, size: Size, threshold: float
) -> tuple[Bools, Size]:
    """The mask that was brought along, with what was changed of it.

    It keeps its own fine border wherever no cell of the grid changed sides, or touches one that did.

    Args:
        mask: The answer, bool [z, y, x], canonical.
        lower: Its first voxel, (x, y, z).
        counts: The answer on the ROI's grid [z, y, x], in 255ths.
        extent: Of the object, which a mask began.
        roi: The ROI.
        size: Of the canonical image, (x, y, z).
        threshold: Probability from which on a cell belongs to the object.

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
        answer = np.zeros_like(result)
        z, y, x = (slice(a - b, a - b + n) for a, b, n in zip(lower[::-1], low[::-1], mask.shape, strict=True))
        answer[z, y, x] = mask
        cells = [
            np.clip(((np.arange(a, b) - edge) / step).astype(int), 0, n - 1)
            for a, b, edge, step, n in zip(low, high, roi.lower, roi.cell_size, roi.size, strict=True)
        ]
        inside = near[np.ix_(cells[2], cells[1], cells[0])]
        result = np.where(inside, answer, result)
    return result, low


def _crop(extent: ObjectExtent, low: Size, high: Size) -> Bools:
    """The mask in a box of voxels; what lies beyond the box is left out."""
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
    """The cells, and those that touch them."""
    for axis in range(3):
        grown = cells.copy()
        front = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
        back = tuple(slice(None, -1) if a == axis else slice(None) for a in range(3))
        grown[front] |= cells[back]
        grown[back] |= cells[front]
        cells = grown
    return cells
