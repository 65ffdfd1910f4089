"""Agreement of two masks."""

from __future__ import annotations

import numpy as np

from sixpoint._typing import Array

__all__ = ["dice"]


def dice(first: Array, second: Array) -> float:
    """Dice coefficient of two masks of one shape: twice the shared voxels over the sum; 1 when both are empty.

    Raises:
        ValueError: The shapes differ.
    """
    if first.shape != second.shape:
        raise ValueError(f"Dice needs masks of one shape, got {first.shape} and {second.shape}")
    a, b = first > 0, second > 0
    total = int(np.count_nonzero(a)) + int(np.count_nonzero(b))
    return 2.0 * int(np.count_nonzero(a & b)) / total if total else 1.0
