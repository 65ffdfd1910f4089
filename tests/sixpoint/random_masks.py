"""Random masks, and windows of them."""

from __future__ import annotations

import numpy as np

from sixpoint._typing import Bools, Index, Rng, Size

__all__ = ["SIZE", "piece", "random_mask"]

SIZE: Size = (13, 11, 9)
"""Size (x, y, z) of the masks."""


def random_mask(seed: int, *, share: float) -> Bools:
    """A mask [z, y, x] with this share of the voxels of a random box."""
    rng = np.random.default_rng(seed)
    mask = np.zeros(SIZE[::-1], np.bool_)
    low = [int(rng.integers(0, n - 1)) for n in mask.shape]
    high = [int(rng.integers(a + 1, n + 1)) for a, n in zip(low, mask.shape, strict=True)]
    window = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    mask[window] = rng.random(mask[window].shape) < share
    return mask


def piece(mask: Bools, rng: Rng) -> tuple[Bools, Index]:
    """A window of a mask that holds all of it, and the index (x, y, z) of its first voxel."""
    voxels = np.argwhere(mask)
    low = [int(rng.integers(0, n + 1)) for n in (voxels.min(0) if len(voxels) else (0, 0, 0))]
    high = [
        int(rng.integers(a, n + 1))
        for a, n in zip((voxels.max(0) + 1) if len(voxels) else (1, 1, 1), mask.shape, strict=True)
    ]
    return mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))], (low[2], low[1], low[0])
