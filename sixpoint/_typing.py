"""Type aliases of arrays and coordinates, defined once. Axis order is [z, y, x] for arrays, (x, y, z) for indices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

__all__ = [
    "Array",
    "Bools",
    "Counts",
    "Float",
    "Floating",
    "FrameName",
    "Index",
    "Ints",
    "PointLike",
    "Points",
    "Rng",
    "Shape",
    "Size",
    "Vector",
]

Array = npt.NDArray[Any]
"""An array of any dtype."""

Bools = npt.NDArray[np.bool_]
"""A mask, or any array of truth values."""

Counts = npt.NDArray[np.uint8]
"""Labels, or probabilities counted in 255ths."""

Float = npt.NDArray[np.float32]
"""Voxels, probabilities or weights in single precision."""

Floating = npt.NDArray[np.floating]
"""Network inputs in half or single precision."""

FrameName = Literal["voxel", "lps", "ras"]
"""The name of a frame, as people type it in place of :class:`~sixpoint.prompts.Frame`."""

Ints = npt.NDArray[np.int32]
"""Component numbers or cell indices."""

PointLike = Sequence[float] | npt.NDArray[Any]
"""What is taken for a point: three numbers (x, y, z)."""

Points = npt.NDArray[np.float64]
"""Points (x, y, z), shape [n, 3]; voxels or a frame's units."""

Rng = np.random.Generator
"""A source of random numbers, passed in by the caller."""

Index = tuple[int, int, int]
"""A voxel's index (x, y, z), unless a docstring says (z, y, x)."""

Shape = tuple[int, int, int]
"""An array's shape [z, y, x]."""

Size = tuple[int, int, int]
"""Voxels or cells along (x, y, z)."""

Vector = tuple[float, float, float]
"""A continuous index, a spacing or a direction (x, y, z)."""
