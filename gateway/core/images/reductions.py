"""Reduced copies of an image, kept beside it: large objects are read from them, and only the first prompt pays."""

from __future__ import annotations

import itertools
import math
import threading
from collections import OrderedDict

import numpy as np
import numpy.typing as npt

from sixpoint._typing import Float
from sixpoint.preprocessing.block_mean import BlockMeans, Factors, Window

__all__ = ["KeptReduction", "Reductions"]

# Edge of the pieces in which block means are made, in samples.
_TILE = 32
# Of smaller blocks the means need as much memory as the voxels, and are soon made again.
_LEAST_BLOCK = 4


class Reductions:
    """An image's reductions, where they were read: those that were used last, as many as int16 voxels' memory holds.

    The last one is kept in any case; it takes at most half of that.

    Safe to use from several threads.

    Args:
        image: Canonical array [z, y, x]; a view that stays valid.
    """

    def __init__(self, image: npt.NDArray[np.generic]) -> None:
        self._image = image
        self._kept: OrderedDict[Factors, KeptReduction] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def nbytes(self) -> int:
        """Bytes of memory that they hold."""
        with self._lock:
            return sum(kept.nbytes for kept in self._kept.values())

    def __call__(self, factors: Factors) -> BlockMeans:
        """The image reduced by ``factors`` (x, y, z), powers of two."""
        if math.prod(factors) < _LEAST_BLOCK:
            return BlockMeans(self._image, factors)
        with self._lock:
            found = self._kept.setdefault(factors, KeptReduction(self._image, factors))
            self._kept.move_to_end(factors)
            held = sum(kept.nbytes for kept in self._kept.values())
            while len(self._kept) > 1 and held > 2 * self._image.size:
                held -= self._kept.popitem(last=False)[1].nbytes
        return found


class KeptReduction(BlockMeans):
    """A reduction whose samples are computed once, tile by tile as they are first read.

    Safe to use from several threads.

    Args:
        image: Canonical array [z, y, x].
        factors: Voxels per block along (x, y, z), powers of two.

    Attributes:
        nbytes: Bytes of the tiles made so far.
    """

    def __init__(self, image: npt.NDArray[np.generic], factors: Factors) -> None:
        super().__init__(image, factors)
        self.nbytes = 0
        # Not touched until written: the system gives pages only as tiles are made.
        self._samples = np.empty(self.shape, np.float32)
        self._made = np.zeros([-(-n // _TILE) for n in self.shape], np.bool_)
        self._lock = threading.Lock()

    def __getitem__(self, window: Window) -> Float:
        """The samples of a window [z, y, x]: a view, not to be written to."""
        tiles = [range(part.start // _TILE, -(-part.stop // _TILE)) for part in window]
        with self._lock:
            for tile in itertools.product(*tiles):
                if not self._made[tile]:
                    z, y, x = (slice(i * _TILE, min((i + 1) * _TILE, n)) for i, n in zip(tile, self.shape, strict=True))
                    self._samples[z, y, x] = super().__getitem__((z, y, x))
                    self._made[tile] = True
                    self.nbytes += self._samples[z, y, x].nbytes
        return self._samples[window]
