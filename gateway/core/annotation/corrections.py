"""Correct a prediction by its clicks: every click is respected, and nothing far from the new clicks changes.

Probabilities are 255ths (uint8), which most networks output: small, and the same in memory and in the database.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from sixpoint._typing import Array, Bools, Counts, Float, Points
from sixpoint.preprocessing import Roi, connected_components, select_by_label

__all__ = ["REACH", "enforce_clicks", "limit_change_to_clicks", "quantise", "threshold_count"]


REACH = 0.25
"""Distance from a click within which a prediction may change, in edges of the ROI."""

_PROBABILITIES = np.arange(256, dtype=np.float32) / np.float32(255)


def quantise(probabilities: Array) -> Counts:
    """Convert probabilities to the nearest 255ths, clipped to [0, 1]; uint8 is returned as it is."""
    if probabilities.dtype == np.uint8:
        return probabilities
    return np.rint(np.clip(probabilities, 0, 1) * np.float32(255)).astype(np.uint8)


def threshold_count(threshold: float) -> int:
    """Return the smallest number of 255ths that reaches a threshold."""
    return int(np.searchsorted(_PROBABILITIES, np.float32(threshold)))


def limit_change_to_clicks(
    counts: Counts, previous: Counts, clicks: Points, *, threshold: float, reach: float = REACH
) -> Counts:
    """Keep the previous prediction where the new one differs without a click nearby.

    A region (26-connected) in which the two are on different sides of the threshold, and which is not within reach of
    any click, keeps the previous probabilities.

    Args:
        counts: New probabilities [z, y, x], in 255ths.
        previous: Previous probabilities [z, y, x] on the same grid, in 255ths.
        clicks: New clicks (x, y, z) in the ROI's frame (-1 to 1), shape [n, 3].
        threshold: Smallest probability of the object's cells.
        reach: Distance in edges of the ROI; infinity keeps the new prediction everywhere.
    """
    cut = threshold_count(threshold)
    labels, count = connected_components((counts >= cut) != (previous >= cut))
    reached = np.zeros(count + 1, np.bool_)
    # Label 0 is where the two are on the same side of the threshold.
    reached[0] = True
    for click in (clicks + 1.0) / 2.0:
        window = tuple(_cells_within(place, reach, n) for place, n in zip(click[::-1], counts.shape, strict=True))
        z, y, x = (
            (np.arange(part.start, part.stop, dtype=np.float32) + np.float32(0.5)) / np.float32(n) - np.float32(place)
            for part, n, place in zip(window, counts.shape, click[::-1], strict=True)
        )
        squares = np.square(z)[:, None, None] + (np.square(y)[:, None] + np.square(x))
        reached[labels[window][squares <= reach * reach]] = True
    return select_by_label(*map(np.ascontiguousarray, (counts, previous)), labels=labels, table=reached)


def _cells_within(place: float, reach: float, cells: int) -> slice:
    """Find the cells along an axis that may be within reach of a place; place and reach are fractions of the axis."""
    low, high = max(0.0, place - reach), min(1.0, place + reach)
    return slice(min(cells, math.floor(low * cells)), max(0, math.ceil(high * cells)))


def enforce_clicks(
    counts: Counts, voxels: npt.NDArray[np.int64], positive: Bools, *, roi: Roi, threshold: float
) -> Counts:
    """Change probabilities so that every clicked voxel, resampled, is on the side that its click says.

    Where a click is violated, the cells that its voxel is resampled from are raised to the smallest 255th that reaches
    the threshold, or lowered to the largest below it. Where clicks share cells, the later click counts.

    Args:
        counts: Probabilities [z, y, x] on the ROI's grid, in 255ths.
        voxels: Clicked voxels (x, y, z), canonical, inside the ROI; shape [n, 3].
        positive: Whether each click is positive, shape [n].
        roi: Region of interest.
        threshold: Smallest probability of the object's voxels.
    """
    result = counts.copy()
    cut = threshold_count(threshold)
    for voxel, is_positive in zip(voxels, positive, strict=True):
        cells, weights = _cells(roi, voxel)
        part = result[cells]
        if (float(np.einsum("zyx,z,y,x", part, *weights)) >= threshold * 255) != is_positive:
            # ``part`` is a view: this changes the result.
            part[...] = np.maximum(part, cut) if is_positive else np.minimum(part, max(0, cut - 1))
    return result


def _cells(roi: Roi, voxel: npt.NDArray[np.int64]) -> tuple[tuple[slice, ...], list[Float]]:
    """Find the cells that a voxel is resampled from: slices along z, y and x, and the weights along each axis."""
    slices, weights = [], []
    for axis in (2, 1, 0):
        row = roi.restore_taps(axis, (int(voxel[axis]), int(voxel[axis]) + 1)).to_matrix(roi.size[axis])[0]
        used = np.flatnonzero(row)
        slices.append(slice(int(used[0]), int(used[-1]) + 1))
        weights.append(row[slices[-1]])
    return tuple(slices), weights
