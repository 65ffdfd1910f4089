"""Turn probabilities on an ROI's grid into a mask of the image's voxels."""

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


# In cells: more than rounding moves the end of a cell's kernel, and too little to include another voxel.
_ROUNDING = 1e-6
# Voxels: for fewer, one thread is faster, and another can store the answer meanwhile.
_PAIR_VOXELS = 2**22


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
    """Mark the voxels at which :meth:`Roi.restore` of a grid reaches a threshold, without storing the values.

    Only voxels near a cell that reaches the threshold are computed. Each voxel is computed by itself, in one order of
    operations, so that neither other voxels nor the memory layout change the result. It agrees with ``Roi.restore``,
    except for values within float32's rounding of the threshold.

    Args:
        grid: Array [z, y, x] of the ROI's ``size``, any real dtype.
        roi: Region that the grid covers.
        image_size: Voxels of the canonical image along (x, y, z).
        threshold: Threshold in the grid's units.
        include: Voxels (x, y, z) of the ROI, shape [n, 3], that the returned box contains whatever their value.
        flips: Whether the result is stored backwards along x, y and z.
        run_pair: Runs the two halves of a large mask.

    Returns:
        Mask [z, y, x], and the index (x, y, z) of its first voxel; no voxel outside it reaches the threshold.
    """
    # Comparing unsigned bytes with an integer is faster than with a float.
    inside = grid >= (math.ceil(threshold) if grid.dtype == np.uint8 else np.float32(threshold))
    plane = np.logical_or.reduce(inside, axis=0)
    low, high = roi.voxel_bounds(image_size)
    x, y, z = (
        _Axis.of(
            roi, axis, (low[axis], high[axis]), used=used, include=() if include is None else include[:, axis].tolist()
        )
        for axis, used in enumerate((plane.any(axis=0), plane.any(axis=1), inside.any(axis=(1, 2))))
    )
    values = np.ascontiguousarray(grid[z.cells, y.cells, x.cells], dtype=np.float32)
    # Computed in memory order: reversing the mask would take longer than computing it.
    steps = tuple(slice(None, None, -1 if flip else 1) for flip in flips[::-1])
    taps = [axis.taps.select(step, first=axis.cells.start) for axis, step in zip((z, y, x), steps, strict=True)]
    mask = np.zeros([len(axis.cells) for axis in taps], np.bool_)
    if mask.size < _PAIR_VOXELS:
        kernels.threshold_resampled(values, mask, taps=taps, level=threshold)
    else:
        half = len(mask) // 2
        mark = partial(_threshold_slices, values, mask, taps, threshold)
        run_pair(lambda: mark(slice(half)), lambda: mark(slice(half, None)))
    return mask[steps], (x.first, y.first, z.first)


def _threshold_slices(values: Float, mask: Bools, taps: Sequence[Taps], threshold: float, slices: slice) -> None:
    """Threshold a range of slices of a mask, reading only the cells they depend on."""
    cells = taps[0].cells[slices]
    if cells.size:
        first, last = int(cells.min()), int(cells.max())
        part = taps[0].select(slices, first=first)
        kernels.threshold_resampled(values[first : last + 1], mask[slices], taps=(part, *taps[1:]), level=threshold)


@dataclass(frozen=True, eq=False)
class _Axis:
    """The voxels along one axis that are computed, and the cells they depend on.

    Attributes:
        first: Index of the first voxel.
        cells: Range of the cells.
        taps: Cells and weights of each voxel, counted from the grid's first cell.
    """

    first: int
    cells: slice
    taps: Taps

    @classmethod
    def of(cls, roi: Roi, axis: int, bounds: tuple[int, int], *, used: Bools, include: Sequence[int]) -> _Axis:
        """Select the voxels that a used cell reaches, those in ``include``, and all between them.

        Args:
            roi: Region that the cells cover.
            axis: 0 for x, 1 for y, 2 for z.
            bounds: Voxels of the ROI along the axis, half-open.
            used: Whether each cell along the axis reaches the threshold.
            include: Indices of further voxels.
        """
        cells, step = np.flatnonzero(used), roi.cell_size[axis]
        wanted = list(include)
        if cells.size:
            # A cell's kernel ends one cell, or one voxel, from its centre; voxels reached by rounding count.
            reach = max(1.0, 1.0 / step) - 0.5 + _ROUNDING
            wanted.append(math.ceil(roi.lower[axis] + (int(cells[0]) - reach) * step))
            wanted.append(math.floor(roi.lower[axis] + (int(cells[-1]) + 1.0 + reach) * step))
        begin = max(bounds[0], min(wanted, default=bounds[1]))
        end = min(bounds[1], max(wanted, default=bounds[0]) + 1)
        if begin >= end:
            return cls(bounds[0], slice(0, 0), roi.restore_taps(axis, (0, 0)))
        taps = roi.restore_taps(axis, (begin, end))
        return cls(begin, slice(int(taps.cells.min()), int(taps.cells.max()) + 1), taps)
