"""Where a person would click."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from sixpoint._typing import Array

__all__ = ["deepest"]


def deepest(mask: Array) -> tuple[int, int, int]:
    """The voxel [z, y, x] that lies farthest from the edge of a mask."""
    inside = sitk.SignedMaurerDistanceMap(sitk.GetImageFromArray(mask.astype(np.uint8)), True, False, False)
    z, y, x = map(int, np.unravel_index(np.argmax(sitk.GetArrayFromImage(inside)), mask.shape))
    return z, y, x
