"""Small images made for tests."""

from __future__ import annotations

import numpy as np

from sixpoint.geometry import Geometry
from sixpoint.volume import Volume

__all__ = ["noisy_volume"]


def noisy_volume(size: tuple[int, int, int] = (40, 36, 32), *, dtype: str = "int16") -> Volume:
    """A small image, (x, y, z) voxels of 1 mm, of noise."""
    x, y, z = size
    values = np.random.default_rng(0).normal(100, 20, (z, y, x)).astype(dtype)
    return Volume(values, Geometry(size=size))
