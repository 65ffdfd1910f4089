"""From probabilities on a network's spacing to labels on the image's own grid, slices at a time."""

from __future__ import annotations

import numpy as np

from sixpoint._typing import Bools, Float, Size
from sixpoint.model_spec import ModelSpec
from sixpoint.preprocessing import Roi, Taps, resample

__all__ = ["LabelMap"]


# Slices of the image made at a time.
_THICK = 8


class LabelMap:
    """Labels of a canonical image, made as probabilities come in, slice by slice of the network's grid.

    Probabilities are resampled, not labels; then the largest wins, or, where labels do not exclude each other, each is
    cut at the threshold. Only what can be of a label is resampled: interpolated values lie between those of their
    cells, so where the background wins every cell, it wins every voxel.

    Args:
        roi: The whole image, on the network's grid.
        size: Of the canonical image, (x, y, z).
        spec: The model's.
    """

    def __init__(self, roi: Roi, *, size: Size, spec: ModelSpec) -> None:
        self._spec = spec.output
        self._taps = [roi.restore_taps(axis, (0, size[axis])) for axis in range(3)]
        self._first, self._last = self._taps[2].cells.min(axis=1), self._taps[2].cells.max(axis=1)
        self._pending = np.empty((spec.output_shape[0], 0, roi.size[1], roi.size[0]), np.float32)
        self._begin = 0
        self._done = 0
        shape = size[::-1]
        count = len(spec.labels)
        # Labels that may overlap are kept apart, in bits along x.
        self._labels = np.zeros(shape if self._spec.exclusive else (0, 0, 0), np.min_scalar_type(count))
        self._bits = np.zeros((0 if self._spec.exclusive else count, *shape[:2], -(-shape[2] // 8)), np.uint8)
        self._width = shape[2]

    def mask(self, number: int) -> Bools:
        """The voxels [z, y, x] of label ``number`` in the canonical image."""
        if self._spec.exclusive:
            return np.equal(self._labels, number)
        return np.unpackbits(self._bits[number - 1], axis=-1, count=self._width).view(np.bool_)

    def add_slices(self, first: int, cells: Float) -> None:
        """Take the next probabilities, and label the slices of the image that need no further ones.

        Args:
            first: Slice of the network's grid with which they begin: where the last ones ended.
            cells: Probabilities [channel, z, y, x], the background first if there is one.
        """
        assert first == self._begin + self._pending.shape[1]
        self._pending = np.concatenate([self._pending, cells], axis=1) if self._pending.size else cells
        ready = int(np.searchsorted(self._last, first + cells.shape[1]))
        while self._done < ready:
            end = min(ready, self._done + _THICK)
            self._label(self._done, end)
            self._done = end
        if ready < len(self._first):
            spent = max(0, int(self._first[ready]) - self._begin)
            # A copy: a view would keep all of it.
            self._pending, self._begin = self._pending[:, spent:].copy(), self._begin + spent

    def _label(self, first: int, end: int) -> None:
        """Label the image's slices from ``first`` to ``end``."""
        low, high = int(self._first[first]), int(self._last[end - 1]) + 1
        cells = self._pending[:, low - self._begin : high - self._begin]
        near = (cells[1:].max(axis=0) > cells[0]) if self._spec.exclusive else cells.max(axis=0) >= self._spec.threshold
        plane = near.any(axis=0)
        if not plane.any():
            return
        (ys, y_cells), (xs, x_cells) = (_reached_voxels(self._taps[axis], plane.any(axis=axis)) for axis in (1, 0))
        taps = [
            self._taps[0].select(xs, first=x_cells.start),
            self._taps[1].select(ys, first=y_cells.start),
            self._taps[2].select(slice(first, end), first=low),
        ]

        def values(channel: int) -> Float:
            return resample(np.ascontiguousarray(cells[channel, :, y_cells, x_cells]), taps)

        if not self._spec.exclusive:
            for index in range(len(cells)):
                found = np.zeros((end - first, ys.stop - ys.start, self._width), np.bool_)
                found[..., xs] = values(index) >= self._spec.threshold
                self._bits[index, first:end, ys] = np.packbits(found, axis=-1)
            return
        most = values(0)
        labels = self._labels[first:end, ys, xs]
        for label in range(1, len(cells)):
            found = values(label)
            labels[found > most] = label
            np.maximum(most, found, out=most)


def _reached_voxels(taps: Taps, used: Bools) -> tuple[slice, slice]:
    """The voxels of an axis that used cells reach, and all cells that those voxels are made of."""
    voxels = np.flatnonzero((used[taps.cells] & (taps.weights > 0)).any(axis=1))
    cells = taps.cells[voxels[0] : voxels[-1] + 1]
    return slice(int(voxels[0]), int(voxels[-1]) + 1), slice(int(cells.min()), int(cells.max()) + 1)
