"""Linear resampling along the axes of an array, anti-aliased where the array shrinks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sixpoint._typing import Float, Floating, Ints
from sixpoint.preprocessing import kernels

__all__ = ["Taps", "area_taps", "linear_taps", "resample"]


class Taps(NamedTuple):
    """Source samples and weights (filter taps) of the samples along one axis.

    Attributes:
        cells: Index of the source samples, [sample, tap]; taps of weight 0 repeat another tap's cell.
        weights: Weights of the source samples, [sample, tap]; each row sums to 1.
    """

    cells: Ints
    weights: Float

    def to_matrix(self, source_size: int) -> Float:
        """The taps as a matrix [sample, source sample]."""
        result = np.zeros((len(self.cells), source_size), np.float32)
        np.add.at(result, (np.arange(len(self.cells))[:, None], self.cells), self.weights)
        return result

    def select(self, samples: slice, *, first: int) -> Taps:
        """Taps of a slice of the samples, with source samples counted from ``first``."""
        cells = np.ascontiguousarray(self.cells[samples]) - np.int32(first)
        return Taps(cells, np.ascontiguousarray(self.weights[samples]))

    def is_identity(self, source_size: int) -> bool:
        """Whether the samples are the source samples, as where the grid is the image's own."""
        return self.cells.shape == (source_size, 1) and np.array_equal(self.cells[:, 0], np.arange(source_size))


def linear_taps(centres: Floating, *, source_size: int, target_step: float) -> Taps:
    """Taps that map samples at 0, 1, ... ``source_size`` - 1 linearly to samples at ``centres``.

    Args:
        centres: Positions to sample, in continuous index of the source, shape [n].
        source_size: Number of source samples; beyond the ends the nearest one repeats.
        target_step: Source samples per target sample; above 1 the kernel widens to it, against aliasing.
    """
    return Taps(
        *kernels.linear_taps(
            np.ascontiguousarray(centres, np.float64), source_size=source_size, reach=max(1.0, target_step)
        )
    )


def area_taps(samples: tuple[int, int], *, source_size: int, target_size: int) -> Taps:
    """Taps of the mean of all source samples that a target sample touches, when each fills its whole axis.

    As ``torch.nn.functional.adaptive_avg_pool3d`` and ``interpolate(mode="area")``: sample i is the mean of the source
    samples from floor(i * n / m) to below ceil((i + 1) * n / m), each with the same weight.

    Args:
        samples: Target samples, half-open.
        source_size: Number n of source samples.
        target_size: Number m of target samples.
    """
    index = np.arange(*samples, dtype=np.int64)
    first, end = index * source_size // target_size, -(-(index + 1) * source_size // target_size)
    count = (end - first)[:, None]
    offsets = np.arange(int(count.max(initial=1)))
    cells = first[:, None] + np.minimum(offsets, count - 1)
    return Taps(cells.astype(np.int32), np.where(offsets < count, 1.0 / count, 0.0).astype(np.float32))


def resample(array: Float, taps: Sequence[Taps]) -> Float:
    """Resample an array [z, y, x] along x, y and z (the order of ``taps``) into a new array.

    The axis that shrinks most comes first, to leave the least work for the others.
    """
    source = array
    for axis in sorted(range(3), key=lambda a: len(taps[a].cells) / array.shape[2 - a]):
        if not taps[axis].is_identity(array.shape[2 - axis]):
            array = kernels.resample(array, taps[axis], axis=2 - axis)
    return array.copy() if array is source else array
