"""The object under scribbles: a label map has one number for each voxel, so that what is drawn over hides it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sixpoint._typing import Ints
from sixpoint.geometry import Geometry
from sixpoint.mask import PackedMask, pack, voxels_of

__all__ = ["uncover"]

# Brushes are rarely wider than twice this; what lies deeper counts as outside, unless its scribble says that it is not.
_MAX_DEPTH = 32
_OUTSIDE, _INSIDE, _HIDDEN, _NO_VOXEL = range(4)


def uncover(mask: PackedMask, drawn: Sequence[Ints], geometry: Geometry) -> PackedMask:
    """Return a mask with what scribbles hide of it.

    A hidden voxel is inside if most of its neighbours are, from the border of the scribbles inwards. So a network that
    corrects an object sees it as the person did who drew over it, and not with a hole under each stroke.

    Args:
        mask: What the scribbles left of the mask.
        drawn: Voxels (x, y, z) of each scribble, shape [n, 3].
        geometry: Geometry of the image.
    """
    # One voxel around all, so that each has six neighbours.
    states = np.full([count + 2 for count in geometry.shape], _NO_VOXEL, np.uint8)
    inner = states[1:-1, 1:-1, 1:-1]
    inner[:] = _OUTSIDE
    (x0, y0, z0), (x1, y1, z1) = mask.lower, mask.upper
    inner[z0:z1, y0:y1, x0:x1] = voxels_of(mask)
    x, y, z = np.concatenate(drawn).T
    hidden = np.unique(np.ravel_multi_index((z + 1, y + 1, x + 1), states.shape))
    flat = states.reshape(-1)
    flat[hidden] = _HIDDEN
    steps = [sign * stride for stride in states.strides for sign in (1, -1)]
    for _ in range(_MAX_DEPTH):
        votes, seen = np.zeros(len(hidden), np.int8), np.zeros(len(hidden), np.bool_)
        for step in steps:
            neighbours = flat[hidden + step]
            votes += (neighbours == _INSIDE).astype(np.int8) - (neighbours == _OUTSIDE)
            seen |= neighbours <= _INSIDE
        if not seen.any():
            break
        flat[hidden[seen]] = np.where(votes[seen] > 0, _INSIDE, _OUTSIDE)
        hidden = hidden[~seen]
    return pack(inner == _INSIDE, (0, 0, 0))
