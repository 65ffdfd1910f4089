"""Average the predictions of overlapping patches, and release slices as soon as no later patch overlaps them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gateway.core.segmentation.sliding_window import SlidingWindow
from sixpoint._typing import Float, Shape

__all__ = ["PatchAggregator"]


# Voxels per piece of completed slices: between two pieces a call can be cancelled.
_PIECE_VOXELS = 2**20


class PatchAggregator:
    """Computes the weighted mean of the patches' probabilities; patches must be added in the window's order.

    Memory holds only as many slices as a patch has, in a ring: slice z is at index z modulo the patch's thickness.

    Args:
        window: Sliding window over the volume.
        importance: Weight of each voxel of a patch, [z, y, x].
        channels: Number of channels of the probabilities.
    """

    def __init__(self, window: SlidingWindow, importance: Float, *, channels: int) -> None:
        self._window = window
        self._importance = importance
        plane = window.padded_shape[1:]
        self._sums = np.zeros((channels, window.patch[0], *plane), np.float32)
        self._weights = np.zeros((window.patch[0], *plane), np.float32)
        self._completed = 0

    @property
    def nbytes(self) -> int:
        """Bytes of memory in use."""
        return self._sums.nbytes + self._weights.nbytes

    def add(self, probabilities: Float, corner: Shape) -> None:
        """Add the probabilities of one patch.

        Args:
            probabilities: Probabilities [channel, z, y, x] of the patch.
            corner: First voxel [z, y, x] of the patch in the padded volume.
        """
        z, y, x = corner
        thickness, height, width = self._window.patch
        plane = (slice(y, y + height), slice(x, x + width))
        weighted = probabilities * self._importance
        # The patch's slices are in the ring in one piece, or in two where they wrap around its end.
        before_end = thickness - z % thickness
        for in_patch, in_ring in (
            (slice(0, before_end), slice(z % thickness, thickness)),
            (slice(before_end, thickness), slice(0, thickness - before_end)),
        ):
            self._sums[:, in_ring, *plane] += weighted[:, in_patch]
            self._weights[in_ring, *plane] += self._importance[in_patch]

    def pop_completed_slices(self, end: int) -> Iterator[tuple[int, Float]]:
        """Take out the slices that no later patch overlaps, a few at a time.

        Args:
            end: First slice of the next patch in the padded volume; the padded volume's thickness after the last patch.

        Yields:
            The index of the first slice in the volume without padding, and probabilities [channel, z, y, x] from there.
        """
        thickness = self._window.patch[0]
        starts_and_sizes = zip(self._window.padding_before, self._window.shape, strict=True)
        z, y, x = (slice(start, start + size) for start, size in starts_and_sizes)
        max_slices = max(1, _PIECE_VOXELS // self._weights[0].size)
        while self._completed < end:
            place = self._completed % thickness
            last = min(end, self._completed + max_slices, self._completed + thickness - place)
            in_ring = slice(place, place + last - self._completed)
            first, stop = max(self._completed, z.start), min(last, z.stop)
            if first < stop:
                inner = slice(first - self._completed + place, stop - self._completed + place)
                yield first - z.start, self._sums[:, inner, y, x] / self._weights[inner, y, x]
            self._sums[:, in_ring] = 0
            self._weights[in_ring] = 0
            self._completed = last
