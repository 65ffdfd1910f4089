"""Crops to train on: an endless source of them, and a pool that mixes the crops of several scenes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from sixpoint._typing import Rng
from trainer.data.real_crops import deform_crops
from trainer.data.samples import Crop, extract_targets
from trainer.synthesis.compact_scenes import compose_compact_scene, simulate_uneven_scan
from trainer.synthesis.intensity_synthesis import simulate_scan
from trainer.synthesis.label_synthesis import compose_scene

__all__ = ["INITIAL_CROPS", "INITIAL_REAL_CROPS", "SCENE_EDGE", "CropPool", "CropSource", "generate_crops"]

SCENE_EDGE = 112
"""Edge of a scene, in voxels."""
_SCANS_PER_SCENE = 4
_TARGETS_PER_SCAN = 14
INITIAL_CROPS = 96
"""Number of crops to mix at the start: those of about two scenes."""
INITIAL_REAL_CROPS = 12
"""Number of real crops to mix at the start: each is drawn by itself, and to deform a large one takes up to a second."""
_REAL_CROPS_PER_SCENE = 48
"""Number of real crops that replace those of a scene: about as many as a scene has."""


def generate_crops(seed: int, index: int, *, edge: int = SCENE_EDGE, compact: bool = False) -> list[Crop]:
    """Generate the crops of one synthetic scene: one label map, several simulated scans, many targets of each.

    Args:
        seed: Seed of the scenes.
        index: Number of the scene.
        edge: Edge of the scene, in voxels.
        compact: Whether the scene has compact bodies with an uneven interior, see
            :mod:`trainer.synthesis.compact_scenes`.
    """
    rng = np.random.default_rng((seed, index, 2) if compact else (seed, index))
    compose, scan = (compose_compact_scene, simulate_uneven_scan) if compact else (compose_scene, simulate_scan)
    scene = compose(rng, (edge, edge, edge))
    crops: list[Crop] = []
    for _ in range(_SCANS_PER_SCENE):
        crops += extract_targets(rng, scene, scan(rng, scene), limit=_TARGETS_PER_SCAN, compact=compact)
    return crops


@dataclass(frozen=True, kw_only=True)
class CropSource:
    """Endless crops of synthetic scenes and labelled images.

    Attributes:
        seed: Seed of the scenes.
        first_scene: Number of the first scene.
        scene_step: Difference between the numbers of successive scenes: worker processes share the scenes.
        scene_edge: Edge of a scene, in voxels.
        real_crops: Crops of labelled images.
        real_fraction: Fraction of the crops that come from ``real_crops``, deformed anew each time.
        coarse: Share of these that is resampled to a coarser grid.
        compact_fraction: Fraction of the scenes that have compact bodies with an uneven interior.
    """

    seed: int
    first_scene: int = 0
    scene_step: int = 1
    scene_edge: int = SCENE_EDGE
    real_crops: tuple[Crop, ...] = field(default=(), repr=False)
    real_fraction: float = 0.0
    coarse: float = 0.0
    compact_fraction: float = 0.0

    def __iter__(self) -> Iterator[Crop]:
        """Iterate over the crops, without end."""
        index = self.first_scene
        while True:
            rng = np.random.default_rng((self.seed, index, 1))
            if self.real_crops and rng.random() < self.real_fraction:
                yield from deform_crops(rng, self.real_crops, count=_REAL_CROPS_PER_SCENE, coarse=self.coarse)
            else:
                # Drawn only where it is asked for: runs of before must go on with the same scenes.
                compact = self.compact_fraction > 0 and bool(rng.random() < self.compact_fraction)
                yield from generate_crops(self.seed, index, edge=self.scene_edge, compact=compact)
            index += self.scene_step


@dataclass(frozen=True, kw_only=True)
class CropPool:
    """Mix of the crops of several scenes, each drawn several times before it is replaced.

    Attributes:
        source: Endless crops.
        size: Number of crops in the full pool.
        initial: Number of crops to mix at the start.
        crop_uses: Average number of times that a crop is drawn; at least 1.
        rng: Generator that draws the crops.
    """

    source: Iterator[Crop]
    size: int
    initial: int = INITIAL_CROPS
    crop_uses: float
    rng: Rng

    def __iter__(self) -> Iterator[Crop]:
        """Iterate over randomly drawn crops, without end."""
        # Training starts before the pool is full: until then, each drawn crop adds another.
        crops = [next(self.source) for _ in range(min(self.size, self.initial))]
        while True:
            place = int(self.rng.integers(len(crops)))
            yield crops[place]
            if len(crops) < self.size:
                crops.append(next(self.source))
            elif self.rng.random() * self.crop_uses < 1.0:
                crops[place] = next(self.source)
