"""Agreement of two masks: Dice, and surface Dice and Hausdorff distance by MONAI."""

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
"""Tolerance of the surface Dice, as in the CVPR 2025 challenge for interactive segmentation."""


@dataclass(frozen=True)
class Agreement:
    """Agreement of an answer with the truth. The field names are keys of ``evaluation.json``.

    Attributes:
        dice: Dice, 0 to 1.
        nsd: Normalised surface Dice at 2 mm, 0 to 1. The challenge's script sets it to 0 where Dice is at most 0.2;
            this does not.
        hd95_mm: 95th percentile of the Hausdorff distance, the larger of both directions.
    """

    dice: float
    nsd: float
    hd95_mm: float


def agreement(answer: Array, truth: Array, geometry: Geometry) -> Agreement:
    """Compute Dice, surface Dice at 2 mm (by area, as the challenge does) and HD95 (over surface voxels).

    If both masks are empty, NSD is 1 and HD95 is 0. If one is empty, NSD is 0 and HD95 is the diagonal of the image:
    worse than any answer, yet finite in a mean.

    Args:
        answer: Mask to score, [z, y, x]; the object is where it is not 0.
        truth: True mask, [z, y, x].
        geometry: Geometry of both.

    Raises:
        ValueError: The shapes differ.
    """
    overlap = dice(answer, truth)
    inside = [np.asarray(mask) > 0 for mask in (answer, truth)]
    filled = [bool(mask.any()) for mask in inside]
    if not all(filled):
        diagonal = math.hypot(*np.multiply(geometry.size, geometry.spacing))
        return Agreement(dice=overlap, nsd=float(not any(filled)), hd95_mm=0.0 if not any(filled) else diagonal)
    box = ndimage.find_objects((inside[0] | inside[1]).view(np.uint8))[0]
    # A margin of background, so that objects cut by the image's border have a surface there.
    answer_tensor, truth_tensor = (torch.from_numpy(np.pad(mask[box], 1))[None, None] for mask in inside)
    spacing = geometry.spacing[::-1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # from MONAI's own calls
        nsd = compute_surface_dice(
            answer_tensor, truth_tensor, [TOLERANCE_MM], include_background=True, spacing=spacing, use_subvoxels=True
        )
        hd95 = compute_hausdorff_distance(
            answer_tensor, truth_tensor, include_background=True, percentile=95, spacing=spacing
        )
    return Agreement(dice=overlap, nsd=float(nsd), hd95_mm=float(hd95))


def area_under_curve(scores: list[float]) -> float:
    """Compute the area under a score over the clicks, as the CVPR 2025 challenge defines it.

    The trapezoidal rule over the answers after click 1, 2, ... 5 at x = 0, 1, ... 4: at most 4.0. The answer before the
    first click does not count.
    """
    return float(np.trapezoid(scores))
