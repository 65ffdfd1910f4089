"""A pool of crops on disk that grows while a network trains on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trainer.painting import paint
from trainer.samples import Crop, targets
from trainer.scenes import compose

__all__ = ["Deck", "generate", "load", "shards", "write_shard"]

Rng = np.random.Generator
SCENE_EDGE = 112
"""Voxels of a scene along each axis."""
_PAINTINGS = 4
_TARGETS = 14


def generate(seed: int, index: int, *, edge: int = SCENE_EDGE) -> list[Crop]:
    """All crops of scene ``index``: one label map, scanned a few times, many targets of each scan."""
    rng = np.random.default_rng((seed, index))
    scene = compose(rng, (edge, edge, edge))
    crops: list[Crop] = []
    for _ in range(_PAINTINGS):
        crops += targets(rng, scene, paint(rng, scene), most=_TARGETS)
    return crops


def write_shard(folder: Path, index: int, crops: list[Crop]) -> Path:
    """Write crops as one file, complete or not at all; its name tells how many there are."""
    arrays: dict[str, np.ndarray] = {}
    for number, crop in enumerate(crops):
        arrays[f"image{number}"] = crop.image
        arrays[f"mask{number}"] = np.packbits(crop.mask.reshape(-1))
    path = folder / f"{index:06d}-{len(crops)}.npz"
    partial = folder / f".{index:06d}.partial"
    with partial.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    partial.replace(path)
    return path


def shards(folder: Path) -> list[Path]:
    """The finished shards of a pool, in order."""
    return sorted(folder.glob("??????-*.npz"))


def load(shard: Path, number: int) -> Crop:
    """Crop ``number`` of a shard."""
    with np.load(shard) as arrays:
        image = arrays[f"image{number}"]
        bits = np.unpackbits(arrays[f"mask{number}"], count=image.size)
    return Crop(image=image, mask=bits.astype(np.bool_).reshape(image.shape))


@dataclass
class Deck:
    """Draws crops from a growing pool: none twice before all were drawn once, new ones as soon as they appear."""

    folder: Path
    rng: Rng

    def __post_init__(self) -> None:
        self._known: dict[Path, int] = {}
        self._cards: list[tuple[Path, int]] = []

    def _look(self) -> None:
        fresh = [path for path in shards(self.folder) if path not in self._known]
        for path in fresh:
            self._known[path] = int(path.stem.split("-")[1])
            self._cards += [(path, number) for number in range(self._known[path])]

    def __iter__(self) -> Iterator[Crop]:
        """Crops without end; nothing at all from an empty pool."""
        drawn = 0
        while True:
            if drawn % 64 == 0:
                self._look()
            if not self._cards:
                self._cards = [(path, number) for path, count in self._known.items() for number in range(count)]
            if not self._cards:
                return
            place = int(self.rng.integers(len(self._cards)))
            self._cards[place], self._cards[-1] = self._cards[-1], self._cards[place]
            drawn += 1
            yield load(*self._cards.pop())
