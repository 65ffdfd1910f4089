"""Where a window slides over a volume, what it sees there, and how much each of its voxels counts.

All of it as MONAI's ``sliding_window_inference`` has it, with which networks are trained and validated.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sixpoint._typing import Array, Float, Shape
from sixpoint.model_spec import PatchSpec

__all__ = ["SlidingWindow", "importance_map"]


# Of a Gaussian window, in edges of the patch; and the least weight of a voxel: MONAI's defaults.
_SIGMA = 0.125
_MIN_WEIGHT = 1e-3


@dataclass(frozen=True)
class SlidingWindow:
    """The windows over one volume. A volume that is smaller than a window is padded, half of it on each side.

    Attributes:
        shape: Voxels of the volume, [z, y, x].
        patch: Voxels of a window, [z, y, x].
        before: Voxels of padding before the volume, [z, y, x].
        padded: Voxels of the volume with its padding, [z, y, x].
        starts: Where windows begin along z, y and x, in voxels of the padded volume, ascending.
    """

    shape: Shape
    patch: Shape
    padding_before: Shape
    padded_shape: Shape
    starts: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]

    @classmethod
    def over(cls, shape: Shape, spec: PatchSpec) -> SlidingWindow:
        """The windows of a spec over a volume [z, y, x]."""
        patch = spec.size[::-1]
        padded = _triple(max(n, edge) for n, edge in zip(shape, patch, strict=True))
        before = _triple((all_of_it - n) // 2 for all_of_it, n in zip(padded, shape, strict=True))
        starts = [_starts(n, edge, spec.overlap) for n, edge in zip(padded, patch, strict=True)]
        return cls(shape, patch, before, padded, (starts[0], starts[1], starts[2]))

    def __len__(self) -> int:
        """How many there are."""
        return math.prod(map(len, self.starts))

    def __iter__(self) -> Iterator[Shape]:
        """Their first voxels [z, y, x] in the padded volume: along z slowest."""
        return itertools.product(*self.starts)

    def extract(self, channels: Array, corner: Shape, spec: PatchSpec) -> Array:
        """What a network sees in one window.

        Args:
            channels: The volume, [channel, z, y, x], without padding.
            corner: The window's first voxel, [z, y, x], in the padded volume.
            spec: What lies beyond the volume.

        Returns:
            Array [channel, z, y, x] of the patch's shape, C-contiguous, of the same dtype.
        """
        seen, missing = [slice(None)], [(0, 0)]
        for start, edge, before, n in zip(corner, self.patch, self.padding_before, self.shape, strict=True):
            first, last = start - before, start - before + edge
            seen.append(slice(max(first, 0), min(last, n)))
            missing.append((max(-first, 0), max(last - n, 0)))
        part = channels[tuple(seen)]
        if not any(map(any, missing)):
            return np.ascontiguousarray(part)
        if spec.padding == "replicate":
            return np.pad(part, missing, mode="edge")
        return np.pad(part, missing, constant_values=spec.padding_value)


def importance_map(spec: PatchSpec) -> Float:
    """How much each voxel of a window counts where windows overlap, [z, y, x]."""
    result = np.ones((1, 1, 1), np.float32)
    if spec.blend == "gaussian":
        for axis, edge in enumerate(spec.size[::-1]):
            away = np.arange(edge, dtype=np.float32) - np.float32((edge - 1) / 2)
            weights = np.exp(away**2 / np.float32(-2 * (edge * _SIGMA) ** 2))
            result = result * np.expand_dims(weights, tuple(other for other in range(3) if other != axis))
        result = np.maximum(result, np.float32(_MIN_WEIGHT))
    return np.ascontiguousarray(np.broadcast_to(result, spec.size[::-1]))


def _starts(extent: int, edge: int, overlap: float) -> tuple[int, ...]:
    """Where windows of an edge begin along an axis, so that the last one ends with it."""
    if extent == edge:
        return (0,)
    step = max(1, int(edge * (1 - overlap)))
    count = 1 + -(-(extent - edge) // step)
    return tuple(min(number * step, extent - edge) for number in range(count))


def _triple(values: Iterator[int]) -> Shape:
    z, y, x = values
    return z, y, x
