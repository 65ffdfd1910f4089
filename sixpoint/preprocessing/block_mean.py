"""Block means of an image, from which coarse grids are resampled instead of from the voxels."""

from __future__ import annotations

import numpy as np

from sixpoint._typing import Array, Float
from sixpoint.preprocessing import kernels

__all__ = ["BlockMeans", "block_means"]

Factors = tuple[int, int, int]
Window = tuple[slice, slice, slice]


class BlockMeans:
    """Block means of an image, computed when a window of them is read.

    Args:
        image: Canonical array [z, y, x] of any real dtype.
        factors: Voxels per block along (x, y, z), powers of two.
    """

    def __init__(self, image: Array, factors: Factors) -> None:
        self.image = image
        self.factors = factors

    @property
    def shape(self) -> tuple[int, int, int]:
        """Blocks along [z, y, x]; the last block of an axis may be smaller."""
        z, y, x = (-(-n // f) for n, f in zip(self.image.shape, self.factors[::-1], strict=True))
        return z, y, x

    def __getitem__(self, window: Window) -> Float:
        """Compute the means of a window [z, y, x]; only its voxels are read."""
        voxels = tuple(slice(s.start * f, s.stop * f) for s, f in zip(window, self.factors[::-1], strict=True))
        return block_means(self.image[voxels], self.factors)


def block_means(image: Array, factors: Factors) -> Float:
    """Average blocks of voxels, counted from the image's first voxel.

    Integers are summed exactly, floating-point voxels in double precision and in one fixed order. The result is the
    same, bit for bit, for every memory layout.

    Args:
        image: Array [z, y, x] of any real dtype.
        factors: Voxels per block along (x, y, z), powers of two.

    Returns:
        Array [z, y, x], float32. Block j of an axis covers the voxels from j * f to j * f + f - 1 that exist.
    """
    if factors == (1, 1, 1):
        return np.ascontiguousarray(image, dtype=np.float32)
    along = factors[::-1]
    if image.dtype.kind == "f":
        return kernels.block_means(image, along)
    # Sums of integers do not depend on the order; in memory order they are many times as fast.
    z, y, x = np.argsort(np.abs(image.strides), kind="stable")[::-1].tolist()
    reduced = kernels.block_means(image.transpose(z, y, x), (along[z], along[y], along[x]))
    return np.ascontiguousarray(reduced.transpose(np.argsort((z, y, x))))
