"""Find the part of a volume that is worth segmenting."""

from __future__ import annotations

import numpy as np

from sixpoint._typing import Bools, Floating

__all__ = ["Box", "foreground_box"]

Box = tuple[slice, slice, slice]


def foreground_box(channel: Floating, threshold: float | None) -> Box | None:
    """Return the box (z, y, x) of the voxels above a threshold, as MONAI's ``CropForeground`` finds it.

    Args:
        channel: Network input [z, y, x].
        threshold: Value above which a voxel is foreground; None: every voxel is.

    Returns:
        The box; None if it is the whole volume, or if there is no foreground.
    """
    if threshold is None:
        return None
    # One slice after the other: a mask of the whole volume is not needed.
    planes: Bools = np.zeros(channel.shape[1:], np.bool_)
    slices: Bools = np.zeros(channel.shape[0], np.bool_)
    for index, plane in enumerate(channel):
        above = plane > threshold
        slices[index] = above.any()
        planes |= above
    if not slices.any():
        return None
    places = [np.flatnonzero(used) for used in (slices, planes.any(axis=1), planes.any(axis=0))]
    z, y, x = (slice(int(place[0]), int(place[-1]) + 1) for place in places)
    return None if (z.stop - z.start, y.stop - y.start, x.stop - x.start) == channel.shape else (z, y, x)
