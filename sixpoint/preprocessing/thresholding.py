"""From probabilities on an ROI's grid to the voxels that they say belong to the object."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from sixpoint._typing import Array, Bools, Float, Size
from sixpoint.concurrency import PairRunner, run_serially
from sixpoint.preprocessing import kernels
from sixpoint.preprocessing.resampling import Taps
from sixpoint.preprocessing.roi import Roi

__all__ = ["restore_mask"]


# Cells: far more than rounding moves the end of a cell's weight, and too little to take in another voxel.
_ROUNDING = 1e-6
# Voxels: fewer are cut sooner by one thread, beside which the answer is stored.
_WORTH_HALVING = 2**22


def restore_mask(
    grid: Array,
    roi: Roi,
    *,
    image_size: Size,
    threshold: float,
    include: npt.NDArray[np.integer] | None = None,
    flips: tuple[bool, bool, bool] = (False, False, False),
    run_pair: PairRunner = run_serially,
) -> tuple[Bools, Size]:
    """The voxels at which :meth:`Roi.restore` of a grid is at least a threshold, without those values being stored.

    Only voxels with a cell of the threshold in reach are computed. Every voxel is computed alone, in one order of
    operations, so that neither other voxels nor the layout in memory change its side. It is the side that
    ``Roi.restore`` gives, except for values within the rounding of float32 of the threshold.

    Args:
        grid: Array [z, y, x] of the ROI's ``size``, any real dtype.
        roi: Where it lies.
        image_size: Voxels of the canonical image along (x, y, z).
        threshold: In the grid's units.
        include: Voxels (x, y, z) of the ROI, shape [n, 3], that the returned box contains whatever their value.
        flips: Along which of (x, y, z) the result lies backwards in memory.
        run_pair: Does the two halves of a large mask.

    Returns:
        Mask [z, y, x], and the (x, y, z) index of its first voxel; outside of it nothing reaches the threshold.
    """
    # Of counts, a comparison with a whole number is the quick one.
    inside = grid >= (math.ceil(threshold) if grid.dtype == np.uint8 else np.float32(threshold))
    plane = np.logical_or.reduce(inside, axis=0)
    low, high = roi.voxel_bounds(image_size)
    x, y, z = (
        _Axis.of(
            roi, axis, (low[axis], high[axis]), used=used, also=() if include is None else include[:, axis].tolist()
        )
        for axis, used in enumerate((plane.any(axis=0), plane.any(axis=1), inside.any(axis=(1, 2))))
    )
    values = np.ascontiguousarray(grid[z.cells, y.cells, x.cells], dtype=np.float32)
    # Computed in memory's order: to reverse the mask would cost more than to make it.
    steps = tuple(slice(None, None, -1 if flip else 1) for flip in flips[::-1])
    taps = [axis.taps.select(step, first=axis.cells.start) for axis, step in zip((z, y, x), steps, strict=True)]
    mask = np.zeros([len(axis.cells) for axis in taps], np.bool_)
    if mask.size < _WORTH_HALVING:
        kernels.threshold_resampled(values, mask, taps=taps, level=threshold)
    else:
        half = len(mask) // 2
        some = partial(_cut_slices, values, mask, taps, threshold)
        run_pair(lambda: some(slice(half)), lambda: some(slice(half, None)))
    return mask[steps], (x.first, y.first, z.first)


def _cut_slices(values: Float, mask: Bools, taps: Sequence[Taps], threshold: float, slices: slice) -> None:
    """Cut some slices of a mask, from the cells that they are computed from."""
    cells = taps[0].cells[slices]
    if cells.size:
        first, last = int(cells.min()), int(cells.max())
        part = taps[0].select(slices, first=first)
        kernels.threshold_resampled(values[first : last + 1], mask[slices], taps=(part, *taps[1:]), level=threshold)


@dataclass(frozen=True, eq=False)
class _Axis:
    """The voxels of one axis that are computed, among the cells that they are computed from.

    Attributes:
        first: Index of the first voxel.
        cells: The cells.
        taps: The cells of each voxel, of all that there are.
    """

    first: int
    cells: slice
    taps: Taps

    @classmethod
    def of(cls, roi: Roi, axis: int, bounds: tuple[int, int], *, used: Bools, also: Sequence[int]) -> _Axis:
        """Those voxels that a used cell reaches, those in ``also``, and all between them.

        Args:
            roi: Where the cells lie.
            axis: 0 for x, 1 for y, 2 for z.
            bounds: The ROI's voxels along it, half-open.
            used: Which cells along the axis reach the threshold.
            also: Indices of further voxels.
        """
        cells, step = np.flatnonzero(used), roi.cell_size[axis]
        wanted = list(also)
        if cells.size:
            # A cell's weight ends one cell, or one voxel, from its centre; what is reached by rounding alone counts.
            reach = max(1.0, 1.0 / step) - 0.5 + _ROUNDING
            wanted.append(math.ceil(roi.lower[axis] + (int(cells[0]) - reach) * step))
            wanted.append(math.floor(roi.lower[axis] + (int(cells[-1]) + 1.0 + reach) * step))
        begin = max(bounds[0], min(wanted, default=bounds[1]))
        end = min(bounds[1], max(wanted, default=bounds[0]) + 1)
        if begin >= end:
            return cls(bounds[0], slice(0, 0), roi.restore_taps(axis, (0, 0)))
        taps = roi.restore_taps(axis, (begin, end))
        return cls(begin, slice(int(taps.cells.min()), int(taps.cells.max()) + 1), taps)
