"""From probabilities on an ROI's grid to the voxels that they say belong to the object."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from sixpoint.roi import Roi, Size, resampling_matrix

__all__ = ["cut"]

Bools = npt.NDArray[np.bool_]
Float = npt.NDArray[np.float32]
Ints = npt.NDArray[np.intp]

# Values computed at a time: with what comes of them they fit the processor's cache.
_PIECE = 2**17


def cut(
    grid: npt.NDArray[np.generic],
    roi: Roi,
    *,
    size: Size,
    threshold: float,
    cover: npt.NDArray[np.integer] | None = None,
    flips: tuple[bool, bool, bool] = (False, False, False),
) -> tuple[Bools, Size]:
    """The voxels at which :meth:`Roi.restore` of a grid is at least a threshold, without those values being stored.

    Only voxels with a cell of the threshold in reach are computed; and along y not their values, but where between two
    cells the threshold is crossed. Every voxel is computed alone, in one order of operations, so that neither other
    voxels nor the layout in memory change its side. It is the side that ``Roi.restore`` gives, except for values within
    the rounding of float32 of the threshold.

    Args:
        grid: Array [z, y, x] of the ROI's ``size``, any real dtype.
        roi: Where it lies.
        size: Size of the canonical image, (x, y, z).
        threshold: In the grid's units.
        cover: Voxels (x, y, z) in the ROI, shape [n, 3], that the result is to contain, whatever they are.
        flips: Along which of (x, y, z) the result lies backwards in memory.

    Returns:
        Mask [z, y, x], and the (x, y, z) index of its first voxel; outside of it nothing reaches the threshold.
    """
    values = np.asarray(grid, np.float32)
    level = np.float32(threshold)
    inside = values >= level
    low, high = roi.bounds(size)
    x, y, z = (
        _Axis.of(
            roi,
            axis,
            bounds=(low[axis], high[axis]),
            used=np.flatnonzero(inside.any(axis=tuple(a for a in range(3) if a != 2 - axis))),
            also=np.asarray(() if cover is None else cover[:, axis], np.intp),
        )
        for axis in range(3)
    )
    mask = np.zeros((z.count, y.count, x.count), np.bool_)
    if mask.size:
        # Computed in memory's order: to reverse the mask would cost more than to make it.
        along_x, along_z = (np.arange(a.count)[:: -1 if flip else 1] for a, flip in ((x, flips[0]), (z, flips[2])))
        volume = x.resample(values[z.cells, y.cells, x.cells], along_x, axis=2)
        thick = max(1, _PIECE // volume[0].size)
        for first in range(0, z.count, thick):
            slices = z.resample(volume, along_z[first : first + thick], axis=0)
            _cut_along_y(slices, y, level, flip=flips[1], out=mask[first : first + thick])
    steps = tuple(slice(None, None, -1 if flip else 1) for flip in flips[::-1])
    return mask[steps], (x.first, y.first, z.first)


@dataclass(frozen=True, eq=False)
class _Axis:
    """The voxels of one axis that are computed, among the cells that they are computed from.

    Attributes:
        first: Index of the first voxel.
        cells: The cells.
        places: Continuous index of each voxel among those cells, ascending; shape [voxel].
        step: Voxels per cell.
    """

    first: int
    cells: slice
    places: npt.NDArray[np.float64]
    step: float

    @classmethod
    def of(cls, roi: Roi, axis: int, *, bounds: tuple[int, int], used: Ints, also: Ints) -> _Axis:
        """Those voxels within ``bounds`` that a used cell reaches, those in ``also``, and all between them.

        Args:
            roi: Where the grid lies.
            axis: 0 for x, 1 for y, 2 for z.
            bounds: Half-open.
            used: Cells along the axis that reach the threshold, ascending.
            also: Indices of further voxels.
        """
        step = roi.step[axis]
        places = (np.arange(*bounds, dtype=np.float64) - roi.lower[axis]) / step - 0.5
        reach = max(1.0, 1.0 / step)
        wanted = also - bounds[0]
        if len(used):
            reached = np.flatnonzero((places > used[0] - reach) & (places < used[-1] + reach))
            wanted = np.concatenate([wanted, reached])
        if not len(wanted):
            return cls(bounds[0], slice(0, 0), places[:0], step)
        first, last = int(wanted.min()), int(wanted.max())
        cells = slice(
            max(0, math.floor(places[first] - reach)), min(roi.size[axis], math.ceil(places[last] + reach) + 1)
        )
        return cls(bounds[0] + first, cells, places[first : last + 1] - cells.start, step)

    @property
    def count(self) -> int:
        """Number of voxels."""
        return len(self.places)

    @property
    def fine(self) -> bool:
        """Whether the grid is finer than the voxels, so that a voxel gathers more than two cells."""
        return self.step < 1

    @cached_property
    def lower(self) -> Ints:
        """The cell at or before each voxel; -1 before the first one, as if that came twice."""
        return np.floor(self.places).astype(np.intp)

    @cached_property
    def weights(self) -> Float:
        """How far each voxel is on its way from that cell to the next."""
        return (self.places - self.lower).astype(np.float32)

    @cached_property
    def begins(self) -> Ints:
        """For each cell from -1 on, the first voxel at or after it."""
        return np.searchsorted(self.lower, np.arange(-1, self.cells.stop - self.cells.start))

    @cached_property
    def rank(self) -> Ints:
        """How many voxels lie between each voxel and the cell before it."""
        return np.arange(self.count) - self.begins[self.lower + 1]

    @cached_property
    def taps(self) -> tuple[Ints, Float]:
        """Where the grid is finer than the voxels: the cells that each gathers, and their weights, [tap, voxel]."""
        count = self.cells.stop - self.cells.start
        first, matrix = resampling_matrix(self.places, extent=count, width=1.0 / self.step)
        used = matrix > 0
        columns = used.argmax(axis=1) + np.arange(int(used.sum(axis=1).max()))[:, None]
        weights = np.pad(matrix, ((0, 0), (0, len(columns))))[np.arange(self.count), columns]
        return np.minimum(first + columns, count - 1), weights

    def resample(self, array: Float, voxels: Ints, *, axis: int) -> Float:
        """Resample one axis of an array [z, y, x] to some of the voxels, each from its own cells alone."""
        shape = [1, 1, 1]
        shape[axis] = len(voxels)
        if self.fine:
            cells, weights = self.taps
            result = array.take(cells[0, voxels], axis=axis) * weights[0, voxels].reshape(shape)
            for some, share in zip(cells[1:], weights[1:], strict=True):
                result += array.take(some[voxels], axis=axis) * share[voxels].reshape(shape)
            return result
        last = array.shape[axis] - 1
        result = array.take(np.maximum(self.lower[voxels], 0), axis=axis)
        rise = array.take(np.minimum(self.lower[voxels] + 1, last), axis=axis)
        # Exact where both are the same, as a sum of two products is not.
        rise -= result
        rise *= self.weights[voxels].reshape(shape)
        result += rise
        return result


def _cut_along_y(slices: Float, y: _Axis, level: np.float32, *, flip: bool, out: Bools) -> None:
    """Write which voxels of slices [z, cell, x] reach the level into a mask [z, y, x] of zeros."""
    order = slice(None, None, -1 if flip else 1)
    if y.fine:
        np.greater_equal(y.resample(slices, np.arange(y.count)[order], axis=1), level, out=out)
        return
    seen = np.logical_or.reduce(slices >= level, axis=0)
    rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    if not rows.size:
        return
    # With the cells round them; beyond the border its own cells come again.
    low, high = int(rows[0]) - 1, int(rows[-1]) + 1
    voxels = slice(*np.searchsorted(y.lower, (low, high)).tolist())
    if voxels.start == voxels.stop:
        return
    across = slice(int(columns[0]), int(columns[-1]) + 1)
    part = slices[:, np.arange(low, high + 1).clip(0, slices.shape[1] - 1), across]
    reached = _crossed(part, y, level, low=low, voxels=voxels)
    if flip:
        out[:, y.count - voxels.stop : y.count - voxels.start, across] = reached[:, ::-1]
    else:
        out[:, voxels, across] = reached


def _crossed(part: Float, y: _Axis, level: np.float32, *, low: int, voxels: slice) -> Bools:
    """Which voxels reach the level, from slices [z, cell, x] of the cells round them, the first of which is ``low``.

    Between two cells values rise or fall: voxels are on one side up to the crossing, and on the other from there on.
    """
    rank, begins = y.rank[voxels], y.begins[low + 1 : low + part.shape[1]]
    most = int(rank.max()) + 1
    before = part[:, :-1]
    rise = part[:, 1:] - before
    falls = rise < 0
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = np.subtract(level, before) / rise
    # On the level all the way: 0 / 0.
    np.fmax(crossing, -np.inf, out=crossing)
    # From a share of the way to a count of voxels.
    crossing -= y.weights[np.minimum(begins, y.count - 1), None]
    crossing *= np.float32(y.step)
    np.maximum(crossing, -1, out=crossing)
    np.minimum(crossing, most, out=crossing)
    # Rising, the first voxel at the crossing or past it; falling, the first one past it.
    first = np.floor(crossing)
    first += (first != crossing) | falls
    reached = first.astype(np.int16) <= np.arange(most, dtype=np.int16)[:, None, None, None]
    reached ^= falls
    return reached[rank, :, y.lower[voxels] - low].swapaxes(0, 1)
