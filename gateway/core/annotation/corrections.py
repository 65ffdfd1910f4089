"""What clicks demand of an answer, on the ROI's grid: that they hold, and that nothing far from them changes.

Probabilities are counts of 255ths, uint8, as most networks answer them: small, and the same wherever they are kept.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from sixpoint._typing import Array, Bools, Counts, Float, Points
from sixpoint.preprocessing import kernels
from sixpoint.preprocessing.resampling import linear_taps
from sixpoint.preprocessing.roi import Roi

__all__ = ["REACH", "enforce_clicks", "limit_change_to_clicks", "quantise", "threshold_count"]


REACH = 0.25
"""How far from a click the answer may change without touching its neighbourhood, in edges of the ROI."""

_SHARES = np.arange(256, dtype=np.float32) / np.float32(255)


def quantise(probabilities: Array) -> Counts:
    """Probabilities, or what are such counts already, as the nearest counts of 255ths; beyond [0, 1], its ends."""
    if probabilities.dtype == np.uint8:
        return probabilities
    return np.rint(np.clip(probabilities, 0, 1) * np.float32(255)).astype(np.uint8)


def threshold_count(threshold: float) -> int:
    """The smallest count of 255ths that is at least a threshold."""
    return int(np.searchsorted(_SHARES, np.float32(threshold)))


def limit_change_to_clicks(
    grid: Counts, previous: Counts, clicks: Points, *, threshold: float, reach: float = REACH
) -> Counts:
    """A corrected answer that differs from the previous one only where the clicks give a reason.

    The regions (26-connected) where the two are on different sides of the threshold, and that do not come within reach
    of any click, keep the previous answer's probabilities.

    Args:
        grid: The new probabilities [z, y, x], in 255ths.
        previous: The answer that the clicks corrected, on the same grid, likewise.
        clicks: The new clicks (x, y, z) in the ROI's frame (-1 to 1), shape [n, 3].
        threshold: Probability from which on a cell belongs to the object.
        reach: In edges of the ROI; infinity takes the new answer as it is.
    """
    cut = threshold_count(threshold)
    labels, count = kernels.connected_components((grid >= cut) != (previous >= cut))
    reached = np.zeros(count + 1, np.bool_)
    # Label 0: where both are on the same side.
    reached[0] = True
    for click in (clicks + 1.0) / 2.0:
        window = tuple(_within(place, reach, n) for place, n in zip(click[::-1], grid.shape, strict=True))
        z, y, x = (
            (np.arange(part.start, part.stop, dtype=np.float32) + np.float32(0.5)) / np.float32(n) - np.float32(place)
            for part, n, place in zip(window, grid.shape, click[::-1], strict=True)
        )
        squares = np.square(z)[:, None, None] + (np.square(y)[:, None] + np.square(x))
        reached[labels[window][squares <= reach * reach]] = True
    return kernels.select_by_label(*map(np.ascontiguousarray, (grid, previous)), labels=labels, table=reached)


def _within(place: float, reach: float, cells: int) -> slice:
    """The cells that may be within reach of a place along an axis; place and reach as shares of the axis."""
    low, high = max(0.0, place - reach), min(1.0, place + reach)
    return slice(min(cells, math.floor(low * cells)), max(0, math.ceil(high * cells)))


def enforce_clicks(
    grid: Counts, voxels: npt.NDArray[np.int64], positive: Bools, *, roi: Roi, threshold: float
) -> Counts:
    """Probabilities under which every clicked voxel, resampled, is on the side that its click says.

    Where a click is violated, the cells that its voxel is resampled from are moved to the smallest 255th that is at
    least the threshold, or to the largest below it. Of clicks that share cells the later one has its way.

    Args:
        grid: Probabilities [z, y, x] on the ROI's grid, in 255ths.
        voxels: The clicked voxels (x, y, z), canonical, inside the ROI; shape [n, 3].
        positive: Whether the object is there, shape [n].
        roi: The ROI.
        threshold: Probability from which on a voxel belongs to the object.
    """
    result = grid.copy()
    cut = threshold_count(threshold)
    for voxel, inside in zip(voxels, positive, strict=True):
        cells, weights = _cells(roi, voxel)
        part = result[cells]
        if (float(np.einsum("zyx,z,y,x", part, *weights)) >= threshold * 255) != inside:
            # A view: this writes into the result.
            part[...] = np.maximum(part, cut) if inside else np.minimum(part, max(0, cut - 1))
    return result


def _cells(roi: Roi, voxel: npt.NDArray[np.int64]) -> tuple[tuple[slice, ...], list[Float]]:
    """The cells that a voxel is resampled from, as slices along z, y and x, and their weights along each."""
    slices, weights = [], []
    for axis in (2, 1, 0):
        step = roi.cell_size[axis]
        centre = (np.array([voxel[axis]], np.float64) - roi.lower[axis]) / step - 0.5
        row = linear_taps(centre, source_size=roi.size[axis], target_step=1.0 / step).to_matrix(roi.size[axis])[0]
        used = np.flatnonzero(row)
        slices.append(slice(int(used[0]), int(used[-1]) + 1))
        weights.append(row[slices[-1]])
    return tuple(slices), weights
