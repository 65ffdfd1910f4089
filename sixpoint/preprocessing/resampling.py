"""Resampling along the axes of an array: linear, anti-aliased where it shrinks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sixpoint._typing import Float, Floating, Ints
from sixpoint.preprocessing import kernels

__all__ = ["Taps", "linear_taps", "resample"]


class Taps(NamedTuple):
    """What the samples of one axis are made of.

    Attributes:
        cells: The source samples of each, [sample, tap]; a tap without weight reads one that another tap reads.
        weights: Theirs, [sample, tap], rows summing to 1.
    """

    cells: Ints
    weights: Float

    def to_matrix(self, extent: int) -> Float:
        """The same as a matrix [sample, source sample], of ``extent`` source samples."""
        result = np.zeros((len(self.cells), extent), np.float32)
        np.add.at(result, (np.arange(len(self.cells))[:, None], self.cells), self.weights)
        return result

    def select(self, samples: slice, *, first: int) -> Taps:
        """Those of some samples, of source samples that are counted from ``first``."""
        cells = np.ascontiguousarray(self.cells[samples]) - np.int32(first)
        return Taps(cells, np.ascontiguousarray(self.weights[samples]))

    def is_identity(self, extent: int) -> bool:
        """Whether the samples are the source samples, as where a grid is the image's own."""
        return self.cells.shape == (extent, 1) and np.array_equal(self.cells[:, 0], np.arange(extent))


def linear_taps(centres: Floating, *, source_size: int, target_step: float) -> Taps:
    """The linear map from samples at 0, 1, ... ``extent`` - 1 to samples at ``centres``.

    Args:
        centres: Where to sample, in continuous index of the source, shape [n].
        source_size: Number of source samples; beyond the ends the nearest one repeats.
        target_step: Source samples per target sample; above 1 the kernel widens to it (anti-aliasing).
    """
    return Taps(
        *kernels.linear_taps(
            np.ascontiguousarray(centres, np.float64), source_size=source_size, reach=max(1.0, target_step)
        )
    )


def resample(array: Float, taps: Sequence[Taps]) -> Float:
    """Resample an array [z, y, x] along x, y and z (the order of ``taps``), the most shrinking first: a new array."""
    given = array
    for axis in sorted(range(3), key=lambda a: len(taps[a].cells) / array.shape[2 - a]):
        if not taps[axis].is_identity(array.shape[2 - axis]):
            array = kernels.resample(array, taps[axis], axis=2 - axis)
    return array.copy() if array is given else array
