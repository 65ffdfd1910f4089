"""Images reduced by block means: what a coarse grid reads in place of the voxels."""

from __future__ import annotations

import numpy as np

from sixpoint._typing import Array, Float
from sixpoint.preprocessing import kernels

__all__ = ["BlockMeans", "block_means"]

Factors = tuple[int, int, int]
Window = tuple[slice, slice, slice]


class BlockMeans:
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
        return block_means(self.image[voxels], self.factors)


def block_means(image: Array, factors: Factors) -> Float:
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
    if image.dtype.kind == "f":
        return kernels.block_means(image, along)
    # Integers' sums are the same in any order: along memory they are made many times as fast.
    z, y, x = np.argsort(np.abs(image.strides), kind="stable")[::-1].tolist()
    reduced = kernels.block_means(image.transpose(z, y, x), (along[z], along[y], along[x]))
    return np.ascontiguousarray(reduced.transpose(np.argsort((z, y, x))))
