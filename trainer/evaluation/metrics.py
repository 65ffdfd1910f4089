"""How far apart two outlines are: surface Dice and Hausdorff distance, by MONAI."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import numpy as np
import torch
from monai.metrics.hausdorff_distance import compute_hausdorff_distance
from monai.metrics.surface_dice import compute_surface_dice
from scipy import ndimage

from sixpoint._typing import Array
from sixpoint.geometry import Geometry
from sixpoint.metrics import dice

__all__ = ["TOLERANCE_MM", "Agreement", "agreement", "area_under_curve"]


TOLERANCE_MM = 2.0
"""Of the surface Dice, as in the CVPR 2025 challenge for interactive segmentation."""


@dataclass(frozen=True)
class Agreement:
    """How well an answer agrees with the truth.

    Attributes:
        dice: 0 to 1.
        nsd: Surface Dice (normalised surface distance) at 2 mm, 0 to 1; unlike the challenge's script, not
            set to 0 where Dice is at most 0.2.
        hd95_mm: The 95th percentile of the Hausdorff distance, the worse of both directions.
    """

    dice: float
    nsd: float
    hd95_mm: float


def agreement(answer: Array, truth: Array, geometry: Geometry) -> Agreement:
    """Dice, surface Dice at 2 mm (by area, as the challenge computes it) and HD95 (over voxels of the surface).

    Both masks empty: NSD 1, HD95 0. One empty: NSD 0, and HD95 is the image's diagonal, which as no other number stays
    finite in a mean and is worse than any answer.

    Args:
        answer: [z, y, x]; the object is where it is not 0.
        truth: [z, y, x], of the same shape.
        geometry: Of both.

    Raises:
        ValueError: When the shapes differ.
    """
    overlap = dice(answer, truth)
    inside = [np.asarray(mask) > 0 for mask in (answer, truth)]
    filled = [bool(mask.any()) for mask in inside]
    if not all(filled):
        diagonal = math.hypot(*np.multiply(geometry.size, geometry.spacing))
        return Agreement(dice=overlap, nsd=float(not any(filled)), hd95_mm=0.0 if not any(filled) else diagonal)
    box = ndimage.find_objects((inside[0] | inside[1]).view(np.uint8))[0]
    # A rim of background, so that what the image's border cuts has its surface there.
    one, other = (torch.from_numpy(np.pad(mask[box], 1))[None, None] for mask in inside)
    spacing = geometry.spacing[::-1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # MONAI warns of its own calls
        nsd = compute_surface_dice(
            one, other, [TOLERANCE_MM], include_background=True, spacing=spacing, use_subvoxels=True
        )
        hd95 = compute_hausdorff_distance(one, other, include_background=True, percentile=95, spacing=spacing)
    return Agreement(dice=overlap, nsd=float(nsd), hd95_mm=float(hd95))


def area_under_curve(scores: list[float]) -> float:
    """The area under a score over the clicks, as the CVPR 2025 challenge defines it.

    The trapezoid rule over the answers after click 1, 2, ... 5 at x = 0, 1, ... 4: at most 4.0. The answer before the
    first click does not count.
    """
    return float(np.trapezoid(scores))
