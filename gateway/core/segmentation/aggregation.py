"""Answers of overlapping windows, joined: slices are finished as soon as no later window reaches them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gateway.core.segmentation.sliding_window import SlidingWindow
from sixpoint._typing import Float, Shape

__all__ = ["PatchAggregator"]


# Voxels finished at a time.
_PIECE = 2**20


class PatchAggregator:
    """The weighted mean of what windows say of each voxel, where windows come in their order.

    Only as many slices are held as a window has: they lie in a ring, slice z in place z modulo that.

    Args:
        window: The sliding window.
        importance: How much each voxel of a window counts, [z, y, x].
        channels: Probabilities of each voxel.
    """

    def __init__(self, window: SlidingWindow, importance: Float, *, channels: int) -> None:
        self._windows = window
        self._importance = importance
        plane = window.padded_shape[1:]
        self._sums = np.zeros((channels, window.patch[0], *plane), np.float32)
        self._weights = np.zeros((window.patch[0], *plane), np.float32)
        self._done = 0

    @property
    def nbytes(self) -> int:
        """Bytes of memory that it holds."""
        return self._sums.nbytes + self._weights.nbytes

    def add(self, probabilities: Float, corner: Shape) -> None:
        """Take what the window that begins at ``corner`` [z, y, x] says, [channel, z, y, x]."""
        z, y, x = corner
        thick, height, width = self._windows.patch
        plane = (slice(y, y + height), slice(x, x + width))
        weighted = probabilities * self._importance
        # A window's slices lie in the ring in one piece or two.
        wrapped = thick - z % thick
        for own, kept in (
            (slice(0, wrapped), slice(z % thick, thick)),
            (slice(wrapped, thick), slice(0, thick - wrapped)),
        ):
            self._sums[:, kept, *plane] += weighted[:, own]
            self._weights[kept, *plane] += self._importance[own]

    def pop_completed_slices(self, end: int) -> Iterator[tuple[int, Float]]:
        """Take out the slices that no later window reaches, some at a time.

        Args:
            end: Where along z the next window begins, in the padded volume; its extent when there is none.

        Yields:
            The first slice in the volume without padding, and probabilities [channel, z, y, x] from it on.
        """
        thick = self._windows.patch[0]
        z, y, x = (slice(b, b + n) for b, n in zip(self._windows.padding_before, self._windows.shape, strict=True))
        most = max(1, _PIECE // self._weights[0].size)
        while self._done < end:
            place = self._done % thick
            last = min(end, self._done + most, self._done + thick - place)
            kept = slice(place, place + last - self._done)
            first, beyond = max(self._done, z.start), min(last, z.stop)
            if first < beyond:
                inner = slice(first - self._done + place, beyond - self._done + place)
                yield first - z.start, self._sums[:, inner, y, x] / self._weights[inner, y, x]
            self._sums[:, kept] = 0
            self._weights[kept] = 0
            self._done = last
