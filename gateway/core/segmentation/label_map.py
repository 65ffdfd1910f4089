"""Turn probabilities on a network's grid into labels on the image's own grid, a few slices at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gateway.core.segmentation.foreground import Box
from sixpoint._typing import Bools, Float, Size
from sixpoint.model_spec import ModelSpec
from sixpoint.preprocessing import Roi, Taps, resample

__all__ = ["LabelMap"]


def _softmax(logits: Float) -> Float:
    """Turn logits [channel, z, y, x] into probabilities in place: there may be a hundred channels."""
    np.subtract(logits, logits.max(axis=0), out=logits)
    np.exp(logits, out=logits)
    return np.divide(logits, logits.sum(axis=0), out=logits)


def _sigmoid(logits: Float) -> Float:
    """Turn logits into probabilities in place: by way of tanh, which does not overflow."""
    np.tanh(np.multiply(logits, 0.5, out=logits), out=logits)
    return np.add(np.multiply(logits, 0.5, out=logits), 0.5, out=logits)


_ACTIVATIONS: dict[str, Callable[[Float], Float] | None] = {"softmax": _softmax, "sigmoid": _sigmoid, "none": None}
# Slices of the image that are labelled at a time.
_SLICES = 8


class LabelMap:
    """The labels of a canonical image, filled in as slices of probabilities arrive.

    Probabilities are resampled, not labels: linearly, or, if labels are decided on the network's grid, from the nearest
    cell. Each voxel then gets the label with the largest probability, or, if labels may overlap, every label that
    reaches the threshold. Regions of background are not resampled: an interpolated value is between those of its cells,
    so a voxel is background if all of its cells are.

    Attributes:
        compares_logits: Whether labels are decided by logits, as they are.

    Args:
        roi: Grid of the network over the whole image.
        size: Size (x, y, z) of the canonical image.
        spec: Spec of the model.
        box: Cells (z, y, x) of the grid that the network saw; the others are background. None: all.
    """

    def __init__(self, roi: Roi, *, size: Size, spec: ModelSpec, box: Box | None = None) -> None:
        self._spec = spec.output
        self._box, self._plane, self._slices = box, (roi.size[1], roi.size[0]), roi.size[2]
        logits = spec.patch is not None and spec.patch.average == "logits"
        on_grid = spec.patch is not None and spec.patch.labelled == "grid"
        # On the grid the largest logit is the largest probability.
        self.compares_logits = logits and on_grid and spec.output.exclusive
        self._of_logits = _ACTIVATIONS[spec.activation]
        self._activation = None if not logits or self.compares_logits else self._of_logits
        taps = roi.nearest_taps if on_grid else roi.restore_taps
        self._taps = [taps(axis, (0, size[axis])) for axis in range(3)]
        self._first, self._last = self._taps[2].cells.min(axis=1), self._taps[2].cells.max(axis=1)
        self._pending = np.empty((spec.output_shape[0], 0, roi.size[1], roi.size[0]), np.float32)
        self._begin = 0
        self._done = 0
        shape = size[::-1]
        count = len(spec.labels)
        # Labels that may overlap have an array each, with the voxels along x packed as bits.
        self._labels = np.zeros(shape if self._spec.exclusive else (0, 0, 0), np.min_scalar_type(count))
        self._bits = np.zeros((0 if self._spec.exclusive else count, *shape[:2], -(-shape[2] // 8)), np.uint8)
        self._width = shape[2]

    def mask(self, number: int) -> Bools:
        """Return the voxels of label ``number``, bool [z, y, x], in the canonical image."""
        if self._spec.exclusive:
            return np.equal(self._labels, number)
        return np.unpackbits(self._bits[number - 1], axis=-1, count=self._width).view(np.bool_)

    def probabilities(self, logits: Float) -> Float:
        """Return the probabilities of logits [channel, z, y, x], which stay as they are."""
        return logits if self._of_logits is None else self._of_logits(logits.copy())

    def add_slices(self, first: int, cells: Float) -> None:
        """Add the next slices of probabilities, and label the slices of the image that need no later ones.

        Args:
            first: Index of the first slice, on the network's grid or in the box; it follows the last one added before.
            cells: Averaged outputs [channel, z, y, x], with the background first if the labels are exclusive; logits
                are turned into probabilities in place.
        """
        if self._activation is not None:
            cells = self._activation(cells)
        if self._box is None:
            self._append(first, cells)
            return
        z, y, x = self._box
        if first == 0:
            self._append_background(z.start)
        for index in range(0, cells.shape[1], _SLICES):  # whole planes may be much larger than the box
            part = cells[:, index : index + _SLICES]
            planes = np.zeros((*part.shape[:2], *self._plane), np.float32)
            planes[:, :, y, x] = part
            self._append(z.start + first + index, planes)
        if z.start + first + cells.shape[1] == z.stop:
            self._append_background(self._slices)

    def _append_background(self, end: int) -> None:
        """Append background up to a slice of the grid."""
        while (first := self._begin + self._pending.shape[1]) < end:
            count = min(_SLICES, end - first)
            self._append(first, np.zeros((len(self._pending), count, *self._plane), np.float32))

    def _append(self, first: int, cells: Float) -> None:
        """Append slices of probabilities of the whole grid."""
        assert first == self._begin + self._pending.shape[1]
        self._pending = np.concatenate([self._pending, cells], axis=1) if self._pending.size else cells
        ready = int(np.searchsorted(self._last, first + cells.shape[1]))
        while self._done < ready:
            end = min(ready, self._done + _SLICES)
            self._label(self._done, end)
            self._done = end
        if ready < len(self._first):
            # The next cells that count may lie beyond the pending ones: a fine grid has cells that no voxel takes.
            spent = min(max(0, int(self._first[ready]) - self._begin), self._pending.shape[1])
            # A view would keep all slices in memory, so this copies.
            self._pending, self._begin = self._pending[:, spent:].copy(), self._begin + spent

    def _label(self, first: int, end: int) -> None:
        """Label the image's slices from ``first`` to below ``end``."""
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
                voxels = np.zeros((end - first, ys.stop - ys.start, self._width), np.bool_)
                voxels[..., xs] = values(index) >= self._spec.threshold
                self._bits[index, first:end, ys] = np.packbits(voxels, axis=-1)
            return
        largest = values(0)
        labels = self._labels[first:end, ys, xs]
        for label in range(1, len(cells)):
            probabilities = values(label)
            labels[probabilities > largest] = label
            np.maximum(largest, probabilities, out=largest)


def _reached_voxels(taps: Taps, used: Bools) -> tuple[slice, slice]:
    """Find the voxels along an axis that the used cells contribute to, and all cells contributing to those voxels."""
    voxels = np.flatnonzero((used[taps.cells] & (taps.weights > 0)).any(axis=1))
    cells = taps.cells[voxels[0] : voxels[-1] + 1]
    return slice(int(voxels[0]), int(voxels[-1]) + 1), slice(int(cells.min()), int(cells.max()) + 1)
