"""Reduced copies of an image, cached with it: a prompt on a large object reads them, and only the first one pays."""

from __future__ import annotations

import itertools
import math
import threading

import numpy as np
import numpy.typing as npt

from gateway.core.runtime.byte_lru import ByteLru
from sixpoint._typing import Float
from sixpoint.preprocessing import BlockMeans, Factors, Window

__all__ = ["CachedReduction", "Reductions"]

# Edge of the tiles in which block means are computed, in samples.
_TILE = 32
# The means of smaller blocks need as much memory as the voxels, and are quick to compute again.
_MIN_BLOCK = 4


class Reductions:
    """An image's reductions, computed where they are read.

    The reductions used last are kept, in as much memory as the image's voxels take as int16. The one used last stays in
    any case; it takes at most half of that. Safe to use from several threads.

    Args:
        image: Canonical array [z, y, x]; a view that stays valid.
    """

    def __init__(self, image: npt.NDArray[np.generic]) -> None:
        self._image = image
        self._cache: ByteLru[Factors, CachedReduction] = ByteLru(
            2 * image.size, size=lambda reduction: reduction.nbytes, spare_last=True
        )
        self._lock = threading.Lock()

    @property
    def nbytes(self) -> int:
        """Bytes of memory of all reductions."""
        with self._lock:
            return sum(reduction.nbytes for reduction in self._cache.values())

    def __call__(self, factors: Factors) -> BlockMeans:
        """The image reduced by ``factors`` (x, y, z), powers of two."""
        if math.prod(factors) < _MIN_BLOCK:
            return BlockMeans(self._image, factors)
        with self._lock:
            reduction = self._cache.get(factors)
            if reduction is None:
                reduction = CachedReduction(self._image, factors)
                self._cache.put(factors, reduction)
            self._cache.measure()
        return reduction


class CachedReduction(BlockMeans):
    """A reduction whose samples are computed once, tile by tile, when they are first read.

    Safe to use from several threads.

    Args:
        image: Canonical array [z, y, x].
        factors: Voxels per block along (x, y, z), powers of two.

    Attributes:
        nbytes: Bytes of the tiles computed so far.
    """

    def __init__(self, image: npt.NDArray[np.generic], factors: Factors) -> None:
        super().__init__(image, factors)
        self.nbytes = 0
        # Memory that is not written to takes no pages: it grows tile by tile.
        self._samples = np.empty(self.shape, np.float32)
        self._computed = np.zeros([-(-n // _TILE) for n in self.shape], np.bool_)
        self._lock = threading.Lock()

    def __getitem__(self, window: Window) -> Float:
        """The samples of a window [z, y, x]: a view, not to be written to."""
        tiles = [range(part.start // _TILE, -(-part.stop // _TILE)) for part in window]
        with self._lock:
            for tile in itertools.product(*tiles):
                if not self._computed[tile]:
                    z, y, x = (slice(i * _TILE, min((i + 1) * _TILE, n)) for i, n in zip(tile, self.shape, strict=True))
                    self._samples[z, y, x] = super().__getitem__((z, y, x))
                    self._computed[tile] = True
                    self.nbytes += self._samples[z, y, x].nbytes
        return self._samples[window]
