"""Cells that MONAI's ``Spacing`` makes nearly 0, where others make them 0.

Where its grid meets a voxel, MONAI's position is off by 1e-15 to 1e-13 voxels or not at all, as its roundings fall. A
voxel of 0 among others, or the middle between 5 and -5, then becomes 1e-12 or 0, which ``nonzero`` of
``NormalizeIntensity`` takes for the image or for removed background. Those cells are computed again as MONAI does.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np
import numpy.typing as npt

from sixpoint._typing import Array, Float, Vector

__all__ = ["recompute_zeros"]

_Double = npt.NDArray[np.float64]

_AXES = {"R": "x", "L": "x", "A": "y", "P": "y", "I": "z", "S": "z"}
# Bound of single precision's error, as a fraction of the largest voxel: sums of voxels that cancel out may keep it.
_NOISE = 1e-6


def recompute_zeros(grid: Float, image: Array, *, steps: Vector, axes: str) -> None:
    """Compute the cells that are about 0 again, in double precision at MONAI's positions, in its order of operations.

    Args:
        grid: Cells [z, y, x] of an image on the grid of ``Spacing``; changed in place.
        image: The canonical image [z, y, x].
        steps: Voxels per cell along (x, y, z).
        axes: Directions of the network's axes, as ``RAS``.
    """
    # MONAI's last axis comes first in products and varies fastest in sums.
    order = ["xyz".index(_AXES[letter]) for letter in reversed(axes)]
    neighbours = [
        _neighbours(image.shape[2 - axis], grid.shape[2 - axis], steps[axis], backward=axes[2 - place] in "RAI")
        for place, axis in enumerate(order)
    ]
    limit = _NOISE * max(-float(image.min()), float(image.max()))
    in_x, in_y, in_z = (neighbours[order.index(axis)][0] for axis in range(3))
    for number, plane in enumerate(grid):
        about_zero = np.abs(plane) <= limit
        if not about_zero.any():
            continue
        # Most of a removed background has no other voxel near.
        near = (image[in_z[:, number]] != 0).any(axis=0)
        near = near[in_y].any(axis=0)[:, in_x].any(axis=1)
        y, x = np.nonzero(about_zero & near)
        cells = (x, y, np.full(len(x), number))
        values = np.zeros(len(x))
        for sides in product(range(2), repeat=3):
            corner, weights = [cells[0]] * 3, np.ones(len(x))
            for axis, side, (voxels, shares) in zip(order, reversed(sides), neighbours, strict=True):
                corner[axis] = voxels[side][cells[axis]]
                weights *= shares[side][cells[axis]]
            values += weights * image[corner[2], corner[1], corner[0]]
        plane[y, x] = values


def _neighbours(
    source_size: int, target_size: int, step: float, *, backward: bool
) -> tuple[npt.NDArray[np.intp], _Double]:
    """Both voxels that each cell along an axis lies between, and their weights, [2, cell]."""
    centres = _centres(source_size, target_size, step)
    below = np.floor(centres)
    voxels = np.minimum(np.stack([below, below + 1]).astype(np.intp), source_size - 1)
    weights = np.stack([below + 1 - centres, centres - below])
    # The voxels are mirrored, not the centres, which would be rounded again.
    return (source_size - 1 - voxels[:, ::-1], weights[:, ::-1]) if backward else (voxels, weights)


def _centres(source_size: int, target_size: int, step: float) -> _Double:
    """Positions in continuous index of the source, as MONAI 1.6 with PyTorch on a processor with AVX2 rounds them.

    The order of operations is that of ``monai.networks.utils.to_norm_affine``, ``torch.nn.functional.affine_grid`` and
    ``grid_sample``, both without ``align_corners``, in double precision.
    """
    from_source = np.array([[2.0 / source_size, 1.0 / source_size - 1.0], [0.0, 1.0]])
    from_target = np.array([[2.0 / target_size, 1.0 / target_size - 1.0], [0.0, 1.0]])
    (scale, offset), _ = from_source @ np.diag([step, 1.0]) @ np.linalg.inv(from_target)
    normalised = _linspace(target_size) * (target_size - 1) / target_size * scale + offset
    centres: _Double = np.clip(((normalised + 1.0) * source_size - 1.0) / 2.0, 0.0, source_size - 1.0)
    return centres


def _linspace(count: int) -> _Double:
    """``torch.linspace(-1, 1, count)``: from both ends to the middle, multiplied and added with a single rounding."""
    if count == 1:
        return np.zeros(1)
    step = Fraction(2.0 / (count - 1))
    half = count // 2
    from_start = [float(step * index - 1) for index in range(half)]
    return np.array([*from_start, *(float(1 - step * index) for index in range(count - half - 1, -1, -1))])
