"""Where a person would click."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

from sixpoint._typing import Array, Index

__all__ = ["deepest", "extreme_voxels"]


def deepest(mask: Array) -> tuple[int, int, int]:
    """The voxel [z, y, x] that lies farthest from the edge of a mask."""
    inside = sitk.SignedMaurerDistanceMap(sitk.GetImageFromArray(mask.astype(np.uint8)), True, False, False)
    z, y, x = map(int, np.unravel_index(np.argmax(sitk.GetArrayFromImage(inside)), mask.shape))
    return z, y, x


def extreme_voxels(mask: Array) -> list[Index]:
    """Six voxels (x, y, z) on the extremes of a mask: of those that are first, or last, along an axis, one."""
    places = np.argwhere(mask)
    ends = [places[places[:, axis] == end(places[:, axis])] for axis in (2, 1, 0) for end in (np.min, np.max)]
    return [(int(x), int(y), int(z)) for z, y, x in (end[len(end) // 2] for end in ends)]
