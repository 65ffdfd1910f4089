"""Crops to learn from: synthetic scenes without end, and a pool that shows each crop a few times."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from sixpoint._typing import Rng
from trainer.data.real_crops import deform_crops
from trainer.data.samples import Crop, extract_targets
from trainer.synthesis.intensity_synthesis import simulate_scan
from trainer.synthesis.label_synthesis import compose_scene

__all__ = ["SCENE_EDGE", "CropPool", "CropSource", "generate_crops"]

SCENE_EDGE = 112
"""Voxels of a scene along each axis."""
_SCANS_PER_SCENE = 4
_TARGETS_PER_SCAN = 14
_INITIAL_CROPS = 96
"""Crops to mix at first: those of two scenes or so."""
_REAL_CROPS_PER_SCENE = 48
"""Real crops that take the place of a scene's: about as many as it has."""


def generate_crops(seed: int, index: int, *, edge: int = SCENE_EDGE) -> list[Crop]:
    """All crops of scene ``index``: one label map, scanned a few times, many targets of each scan."""
    rng = np.random.default_rng((seed, index))
    scene = compose_scene(rng, (edge, edge, edge))
    crops: list[Crop] = []
    for _ in range(_SCANS_PER_SCENE):
        crops += extract_targets(rng, scene, simulate_scan(rng, scene), limit=_TARGETS_PER_SCAN)
    return crops


@dataclass(frozen=True, kw_only=True)
class CropSource:
    """Where crops come from.

    Attributes:
        seed: Of the scenes.
        first: Index of the first scene.
        step: From one scene's index to the next one's: several processes share the scenes out among them.
        edge: Voxels of a scene along each axis.
        real: Crops of labelled images.
        share: Share of the crops that are from ``real``, anew deformed each time.
    """

    seed: int
    first_scene: int = 0
    scene_step: int = 1
    scene_edge: int = SCENE_EDGE
    real_crops: tuple[Crop, ...] = field(default=(), repr=False)
    real_fraction: float = 0.0

    def __iter__(self) -> Iterator[Crop]:
        """Crops without end."""
        index = self.first_scene
        while True:
            rng = np.random.default_rng((self.seed, index, 1))
            if self.real_crops and rng.random() < self.real_fraction:
                yield from deform_crops(rng, self.real_crops, count=_REAL_CROPS_PER_SCENE)
            else:
                yield from generate_crops(self.seed, index, edge=self.scene_edge)
            index += self.scene_step


@dataclass(frozen=True, kw_only=True)
class CropPool:
    """Mixes the crops of several scenes, and shows each of them some times before it goes.

    Attributes:
        source: Crops without end.
        size: How many crops to mix, once there are so many.
        reuse: How often a crop is shown, on average; at least 1.
        rng: Decides which crop comes next.
    """

    source: Iterator[Crop]
    size: int
    crop_uses: float
    rng: Rng

    def __iter__(self) -> Iterator[Crop]:
        """Crops without end, drawn at random."""
        # Training need not wait for all of them: each one that is shown adds another until the pool is full.
        crops = [next(self.source) for _ in range(min(self.size, _INITIAL_CROPS))]
        while True:
            place = int(self.rng.integers(len(crops)))
            yield crops[place]
            if len(crops) < self.size:
                crops.append(next(self.source))
            elif self.rng.random() * self.crop_uses < 1.0:
                crops[place] = next(self.source)
