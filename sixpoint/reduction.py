"""Images reduced by block means: what a coarse grid reads in place of the voxels."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

__all__ = ["Reduction", "reduce"]

Array = npt.NDArray[np.generic]
Float = npt.NDArray[np.float32]
Factors = tuple[int, int, int]
Window = tuple[slice, slice, slice]

# Voxels worked on at a time: what they need fits the processor's cache, and NumPy's own cost per call is small.
_PIECE = 2**18


class Reduction:
    """An image reduced by block means, computed where and when it is read.

    Args:
        image: Canonical array [z, y, x] of any real dtype.
        factors: Voxels per block along (x, y, z), powers of two.
    """

    def __init__(self, image: Array, factors: Factors) -> None:
        self.image = image
        self.factors = factors

    @property
    def shape(self) -> tuple[int, int, int]:
        """Samples along [z, y, x]; the last block of an axis may be a partial one."""
        z, y, x = (-(-n // f) for n, f in zip(self.image.shape, self.factors[::-1], strict=True))
        return z, y, x

    def __getitem__(self, window: Window) -> Float:
        """The samples of a window [z, y, x]; of the image only its blocks are read."""
        voxels = tuple(slice(s.start * f, s.stop * f) for s, f in zip(window, self.factors[::-1], strict=True))
        return reduce(self.image[voxels], self.factors)


def reduce(image: Array, factors: Factors) -> Float:
    """The means of blocks of voxels, anchored at the image's first voxel.

    Sums are exact for integers, and of floating-point voxels made in double precision in one fixed order; so the result
    is the same, bit for bit, however the image lies in memory.

    Args:
        image: Array [z, y, x] of any real dtype.
        factors: Voxels per block along (x, y, z), powers of two.

    Returns:
        Array [z, y, x], float32: sample j of an axis is the mean of the voxels from j * f to j * f + f - 1, or of those
        of them that there are.
    """
    if factors == (1, 1, 1):
        return np.ascontiguousarray(image, dtype=np.float32)
    along = factors[::-1]
    counts = [np.minimum(f, n - np.arange(0, n, f)).astype(np.float64) for n, f in zip(image.shape, along, strict=True)]
    result = np.empty([len(count) for count in counts], np.float32)
    dtype = _sum_dtype(image.dtype, math.prod(factors))
    # Piece by piece along the axis that is slowest in memory.
    slow = int(np.argmax(np.abs(image.strides)))
    thick = max(1, _PIECE * image.shape[slow] // max(1, image.size) // along[slow])
    for first in range(0, result.shape[slow], thick):
        piece, blocks = [slice(None)] * 3, [slice(None)] * 3
        piece[slow] = slice(first * along[slow], (first + thick) * along[slow])
        blocks[slow] = slice(first, first + thick)
        sums = image[tuple(piece)]
        for axis, factor in enumerate(along):
            for _ in range(factor.bit_length() - 1):
                sums = _pairs(sums, axis, dtype)
        z, y, x = (count[part] for count, part in zip(counts, blocks, strict=True))
        result[tuple(blocks)] = sums / (z[:, None, None] * (y[:, None] * x))
    return result


def _pairs(array: Array, axis: int, dtype: npt.DTypeLike) -> Array:
    """Sums of neighbours along an axis, the first with the second; a last one without a neighbour stays alone."""
    before = (slice(None),) * axis
    even, odd = array[(*before, slice(0, None, 2))], array[(*before, slice(1, None, 2))]
    if even.shape == odd.shape:
        return np.add(even, odd, dtype=dtype)
    result = even.astype(dtype)
    result[(*before, slice(0, odd.shape[axis]))] += odd
    return result


def _sum_dtype(dtype: np.dtype[np.generic], count: int) -> npt.DTypeLike:
    """The smallest type that is exact for sums of so many integers; double precision for the rest."""
    if dtype.kind not in "biu" or dtype.itemsize > 4:
        return np.float64
    return np.int32 if dtype.itemsize <= 2 and count <= 2**15 else np.int64
