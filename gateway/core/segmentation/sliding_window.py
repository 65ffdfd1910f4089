"""The patches that cover a volume, and the weight of their voxels.

Positions, padding and weights equal those of MONAI's ``sliding_window_inference``, with which networks are trained and
validated.
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


# The smallest weight, as in MONAI.
_MIN_WEIGHT = 1e-3


@dataclass(frozen=True)
class SlidingWindow:
    """The positions of a window over one volume. A volume smaller than a patch is padded on both sides.

    Attributes:
        shape: Shape [z, y, x] of the volume.
        patch: Shape [z, y, x] of a patch.
        padding_before: Voxels of padding before the volume along [z, y, x].
        padded_shape: Shape [z, y, x] of the volume with its padding.
        starts: First voxels of the patches along z, y and x in the padded volume, ascending.
    """

    shape: Shape
    patch: Shape
    padding_before: Shape
    padded_shape: Shape
    starts: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]

    @classmethod
    def over(cls, shape: Shape, spec: PatchSpec, *, axes: str = "SPL") -> SlidingWindow:
        """Place the patches of a spec over a volume.

        Args:
            shape: Shape [z, y, x] of the volume.
            spec: Size and overlap of the patches.
            axes: Directions of the network's own axes, as in ``NetworkSpec``. The first patch lies in the corner where
                these axes begin, as in training: the last patch along an axis overlaps the one before by more.
        """
        patch = spec.size[::-1]
        padded = _triple(max(n, edge) for n, edge in zip(shape, patch, strict=True))
        mirrored = [not set(forward).intersection(axes) for forward in "SPL"]
        before = _triple((total - n + flip) // 2 for total, n, flip in zip(padded, shape, mirrored, strict=True))
        starts = [
            _starts(n, edge, spec.overlap, mirrored=flip) for n, edge, flip in zip(padded, patch, mirrored, strict=True)
        ]
        return cls(shape, patch, before, padded, (starts[0], starts[1], starts[2]))

    def __len__(self) -> int:
        """Number of patches."""
        return math.prod(map(len, self.starts))

    def __iter__(self) -> Iterator[Shape]:
        """Iterate over the first voxels [z, y, x] of the patches in the padded volume; z changes slowest."""
        return itertools.product(*self.starts)

    def extract(self, channels: Array, corner: Shape, spec: PatchSpec) -> Array:
        """Extract one patch of a volume, padded where it exceeds the volume.

        Args:
            channels: Volume [channel, z, y, x], without padding.
            corner: First voxel [z, y, x] of the patch in the padded volume.
            spec: Kind and value of the padding.

        Returns:
            Array [channel, z, y, x] of the patch's shape, C-contiguous, of the volume's dtype.
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
    """Return the weight of each voxel of a patch where patches overlap, [z, y, x]."""
    result = np.ones((1, 1, 1), np.float32)
    if spec.blend == "gaussian":
        for axis, edge in enumerate(spec.size[::-1]):
            away = np.arange(edge, dtype=np.float32) - np.float32((edge - 1) / 2)
            weights = np.exp(away**2 / np.float32(-2 * (edge * spec.sigma) ** 2))
            result = result * np.expand_dims(weights, tuple(other for other in range(3) if other != axis))
        result = np.maximum(result, np.float32(_MIN_WEIGHT))
    return np.ascontiguousarray(np.broadcast_to(result, spec.size[::-1]))


def _starts(extent: int, edge: int, overlap: float, *, mirrored: bool) -> tuple[int, ...]:
    """Return the first voxels of patches of one edge along an axis, ascending.

    The last patch ends with the axis; with ``mirrored`` it is the first that does, and the last that begins with it.
    """
    if extent == edge:
        return (0,)
    step = max(1, int(edge * (1 - overlap)))
    count = 1 + -(-(extent - edge) // step)
    starts = [min(number * step, extent - edge) for number in range(count)]
    return tuple(extent - edge - start for start in reversed(starts)) if mirrored else tuple(starts)


def _triple(values: Iterator[int]) -> Shape:
    z, y, x = values
    return z, y, x
