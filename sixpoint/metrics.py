"""How well two masks agree."""

from __future__ import annotations

import numpy as np

from sixpoint._typing import Array

__all__ = ["dice"]


def dice(one: Array, other: Array) -> float:
    """Dice of two masks of the same shape: twice the shared voxels over those of both; 1 when both are empty.

    Raises:
        ValueError: When the shapes differ.
    """
    if one.shape != other.shape:
        raise ValueError(f"masks of different shapes have no Dice: {one.shape} and {other.shape}")
    a, b = one > 0, other > 0
    total = int(np.count_nonzero(a)) + int(np.count_nonzero(b))
    return 2.0 * int(np.count_nonzero(a & b)) / total if total else 1.0
