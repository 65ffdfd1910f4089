"""Agreement of two masks, and of two readers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sixpoint._typing import Array, Bools, Vector

__all__ = ["dice", "presence_kappa", "surface_dice"]


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


def surface_dice(first: Array, second: Array, spacing: Vector, *, tolerance_mm: float) -> float:
    """Normalised surface Dice (NSD): the fraction of the voxels of both surfaces that lie near the other surface.

    A surface is the voxels of a mask with a neighbour outside, across a face; beyond the image's border is outside. 1
    when both are empty, 0 when one is.

    Args:
        first: Mask [z, y, x]; the object is where it is not 0.
        second: Mask of the same shape.
        spacing: Spacing (x, y, z) in mm.
        tolerance_mm: Largest distance between the centres of voxels that are near each other.

    Raises:
        ValueError: The shapes differ.
    """
    if first.shape != second.shape:
        raise ValueError(f"surface Dice needs masks of one shape, got {first.shape} and {second.shape}")
    a, b = np.asarray(first) > 0, np.asarray(second) > 0
    if not a.any() or not b.any():
        return float(not a.any() and not b.any())
    box = tuple(slice(*np.flatnonzero((a | b).any(axis=axes))[[0, -1]] + (0, 1)) for axes in ((1, 2), (0, 2), (0, 1)))
    surfaces = [_surface(np.pad(mask[box], 1)) for mask in (a, b)]
    near = sum(
        int(np.count_nonzero(_distance(other, spacing)[own] <= tolerance_mm * (1 + 1e-6)))
        for own, other in (surfaces, surfaces[::-1])
    )
    return near / sum(int(np.count_nonzero(surface)) for surface in surfaces)


def presence_kappa(pairs: Sequence[tuple[bool, bool]]) -> float | None:
    """Kappa of two readers who say whether something is there: agreement beyond chance, -1 to 1.

    Readers are exchangeable, so chance is by what both say together (Fleiss' kappa, Scott's pi).

    Args:
        pairs: What the two readers say of each image.

    Returns:
        Kappa; None where all say the same of all images, so that chance explains everything.
    """
    said = [value for pair in pairs for value in pair]
    share = sum(said) / len(said) if said else 0.0
    expected = share**2 + (1 - share) ** 2
    if not said or expected == 1:
        return None
    observed = sum(first == second for first, second in pairs) / len(pairs)
    return (observed - expected) / (1 - expected)


def _surface(mask: Bools) -> Bools:
    """The voxels of a mask with a neighbour outside; the mask has a margin of one voxel."""
    inner = mask[1:-1, 1:-1, 1:-1].copy()
    for axis in range(3):
        for step in (-1, 1):
            inner &= np.roll(mask, step, axis)[1:-1, 1:-1, 1:-1]
    result = mask.copy()
    result[1:-1, 1:-1, 1:-1] &= ~inner
    return result


def _distance(surface: Bools, spacing: Vector) -> Array:
    """Distance in mm from each voxel to the nearest one of a surface."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(surface.astype(np.uint8))
    image.SetSpacing(spacing)
    distances = sitk.SignedMaurerDistanceMap(image, insideIsPositive=False, squaredDistance=False, useImageSpacing=True)
    return np.maximum(sitk.GetArrayFromImage(distances), 0)
