"""Crops to learn from: synthetic scenes without end, and a pool that shows each crop a few times."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from sixpoint._typing import Rng
from trainer.data.real_crops import deform
from trainer.data.samples import Crop, targets
from trainer.synthesis.intensity_synthesis import paint
from trainer.synthesis.label_synthesis import compose

__all__ = ["SCENE_EDGE", "Pool", "Source", "generate"]

SCENE_EDGE = 112
"""Voxels of a scene along each axis."""
_PAINTINGS = 4
_TARGETS = 14
_BEGINNING = 96
"""Crops to mix at first: those of two scenes or so."""
_REAL_AT_ONCE = 48
"""Real crops that take the place of a scene's: about as many as it has."""


def generate(seed: int, index: int, *, edge: int = SCENE_EDGE) -> list[Crop]:
    """All crops of scene ``index``: one label map, scanned a few times, many targets of each scan."""
    rng = np.random.default_rng((seed, index))
    scene = compose(rng, (edge, edge, edge))
    crops: list[Crop] = []
    for _ in range(_PAINTINGS):
        crops += targets(rng, scene, paint(rng, scene), most=_TARGETS)
    return crops


@dataclass(frozen=True, kw_only=True)
class Source:
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
    first: int = 0
    step: int = 1
    edge: int = SCENE_EDGE
    real: tuple[Crop, ...] = field(default=(), repr=False)
    share: float = 0.0

    def __iter__(self) -> Iterator[Crop]:
        """Crops without end."""
        index = self.first
        while True:
            rng = np.random.default_rng((self.seed, index, 1))
            if self.real and rng.random() < self.share:
                yield from deform(rng, self.real, count=_REAL_AT_ONCE)
            else:
                yield from generate(self.seed, index, edge=self.edge)
            index += self.step


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Mixes the crops of several scenes, and shows each of them some times before it goes.

    Attributes:
        source: Crops without end.
        size: How many crops to mix, once there are so many.
        reuse: How often a crop is shown, on average; at least 1.
        rng: Decides which crop comes next.
    """

    source: Iterator[Crop]
    size: int
    reuse: float
    rng: Rng

    def __iter__(self) -> Iterator[Crop]:
        """Crops without end, drawn at random."""
        # Training need not wait for all of them: each one that is shown adds another until the pool is full.
        crops = [next(self.source) for _ in range(min(self.size, _BEGINNING))]
        while True:
            place = int(self.rng.integers(len(crops)))
            yield crops[place]
            if len(crops) < self.size:
                crops.append(next(self.source))
            elif self.rng.random() * self.reuse < 1.0:
                crops[place] = next(self.source)
