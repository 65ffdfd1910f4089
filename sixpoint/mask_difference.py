"""The box in which two masks differ."""

from __future__ import annotations

import numpy as np

from sixpoint._typing import Bools, Index

__all__ = ["difference_box"]

# Voxels compared at a time; they fit the second-level cache.
_CHUNK = 2**18


def difference_box(first: Bools, second: Bools, *, origins: tuple[Index, Index]) -> tuple[Index, Index] | None:
    """The smallest box that holds all voxels in which two masks differ; outside their arrays masks are 0.

    NumPy takes 0.1 ms for masks of 122 x 101 x 30 voxels and 3 to 4 ms for 300 x 300 x 120; C took 0.05 and 2 to 3 ms.

    Args:
        first: Mask [z, y, x].
        second: Mask [z, y, x].
        origins: Index (z, y, x) of the first voxel of each mask.

    Returns:
        Index (z, y, x) of the box's first voxel, and one past its last; None where the masks are equal.
    """
    lower, upper = _common_box((first, second), origins)
    depth, height, width = (b - a for a, b in zip(lower, upper, strict=True))
    changed = np.zeros((height, width), np.bool_)
    slices: list[int] = []
    thickness = max(1, _CHUNK // max(1, height * width))
    buffer = np.empty((min(thickness, depth), height, width), np.bool_)
    for z in range(0, depth, thickness):
        chunk = buffer[: depth - z]
        if first.shape == second.shape and origins[0] == origins[1]:
            np.not_equal(first[z : z + thickness], second[z : z + thickness], out=chunk)
        else:
            chunk[...] = False
            for mask, origin in zip((first, second), origins, strict=True):
                _toggle(chunk, mask, (lower[0] + z - origin[0], origin[1] - lower[1], origin[2] - lower[2]))
        if chunk.any():
            slices += (np.flatnonzero(chunk.any(axis=(1, 2))) + z).tolist()
            changed |= np.logical_or.reduce(chunk, axis=0)
    if not slices:
        return None
    rows, columns = np.flatnonzero(changed.any(axis=1)).tolist(), np.flatnonzero(changed.any(axis=0)).tolist()
    begin, end = ((slices[n] + lower[0], rows[n] + lower[1], columns[n] + lower[2]) for n in (0, -1))
    return begin, (end[0] + 1, end[1] + 1, end[2] + 1)


def _common_box(masks: tuple[Bools, Bools], origins: tuple[Index, Index]) -> tuple[list[int], list[int]]:
    """First voxel (z, y, x) of the smallest box that holds two masks, and one past its last."""
    lower = [min(pair) for pair in zip(*origins, strict=True)]
    ends = [
        [n + size for n, size in zip(origin, mask.shape, strict=True)]
        for mask, origin in zip(masks, origins, strict=True)
    ]
    return lower, [max(pair) for pair in zip(*ends, strict=True)]


def _toggle(chunk: Bools, mask: Bools, offset: Index) -> None:
    """Invert a chunk's voxels that belong to a mask.

    Args:
        chunk: Slices [z, y, x] of the common box.
        mask: Mask [z, y, x].
        offset: The chunk's first slice in the mask's slices; the mask's first row and column in the chunk.
    """
    z, y, x = offset
    part = mask[max(z, 0) : max(z + len(chunk), 0)]
    first = max(-z, 0)
    target = chunk[first : first + len(part), y : y + mask.shape[1], x : x + mask.shape[2]]
    np.logical_xor(target, part, out=target)
