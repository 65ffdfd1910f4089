"""Synthetic bodies that no training has seen, as structures to evaluate networks on."""

from __future__ import annotations

import numpy as np

from sixpoint.geometry import Geometry
from sixpoint.volume import Volume
from trainer.data.crop_pool import generate_crops
from trainer.data.structures import MIN_VOXELS, LabelledImage, Structure

__all__ = ["HELD_OUT_SEED", "synthetic_bodies"]

HELD_OUT_SEED = 990_001
"""Seed of the scenes. No training may use it, nor the one before it."""
_PER_SCENE = 4


def synthetic_bodies(count: int, *, compact: bool) -> list[LabelledImage]:
    """Draw bodies, each with its own scan: compact ones with an uneven interior, or those of the usual scenes.

    Args:
        count: Number of bodies.
        compact: Whether to draw the compact ones.
    """
    group = "synthetic, compact" if compact else "synthetic"
    images: list[LabelledImage] = []
    scene = 0
    while len(images) < count:
        crops = [
            crop for crop in generate_crops(HELD_OUT_SEED, scene, compact=compact) if crop.mask.sum() >= MIN_VOXELS
        ]
        # Scans of one scene have the same bodies: only some of each.
        for number in np.random.default_rng((HELD_OUT_SEED, scene)).permutation(len(crops))[:_PER_SCENE].tolist():
            crop, name = crops[number], f"{scene}-{number}"
            z, y, x = crop.mask.shape
            image = Volume(crop.image.astype(np.float32), Geometry(size=(x, y, z)))
            structure = Structure(group, name, image, crop.mask)
            images.append(LabelledImage(name, (group,), lambda structure=structure: [structure]))  # type: ignore[misc]
        scene += 1
    return images[:count]
