"""The spacing of an image whose header lacks it: a person may say it, and may not contradict the header."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from sixpoint._typing import Vector
from sixpoint.errors import VolumeError

__all__ = ["SPACING_HINT", "check_typed_spacing", "fill_spacing", "is_spacing"]

# How far a spacing that a person types may lie from the header's, relatively.
_TOLERANCE = 0.01

SPACING_HINT = "give the spacing in mm: --spacing X,Y,Z, or spacing=(x, y, z)"
"""What to do when a header lacks a spacing."""


def is_spacing(value: float) -> bool:
    """Whether a number can be a spacing."""
    return math.isfinite(value) and value > 0


def check_typed_spacing(stated: Sequence[float], typed: Vector | None, source: Path) -> None:
    """Refuse a spacing from a person that the header contradicts.

    Args:
        stated: Spacing (x, y, z) of the header, in mm.
        typed: Spacing from the person; None if there is none.
        source: File that the error names.

    Raises:
        VolumeError: They differ by more than a hundredth.
    """
    if typed and not all(math.isclose(a, b, rel_tol=_TOLERANCE) for a, b in zip(stated, typed, strict=True)):
        says, given = (" x ".join(f"{value:.4g}" for value in values) for values in (stated, typed))
        raise VolumeError(f"{source}: its header says a spacing of {says} mm, not {given}; leave the spacing out")


def fill_spacing(stated: Sequence[float], typed: Vector, source: Path) -> Vector:
    """The spacing of a header, with numbers from a person in place of those that mean nothing: 0, NaN, infinite.

    Args:
        stated: Spacing (x, y, z) of the header, in mm. The sign of a number is ignored, as NIfTI defines it.
        typed: Spacing from the person.
        source: File that the error names.

    Raises:
        VolumeError: A number of the header that means something contradicts the person's.
    """
    x, y, z = (abs(value) if is_spacing(abs(value)) else other for value, other in zip(stated, typed, strict=True))
    check_typed_spacing((x, y, z), typed, source)
    return x, y, z
