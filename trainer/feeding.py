"""Feeding the network: a process that fills the pool, and an endless stream of batches drawn from it."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset

from sixpoint.errors import InternalError
from sixpoint.spec import ModelSpec
from trainer.datasets import Case, read_case
from trainer.labelled import crops_of, deform
from trainer.pool import SCENE_EDGE, Deck, generate, shards, write_shard
from trainer.samples import Crop, sample

if TYPE_CHECKING:
    from multiprocessing.sharedctypes import Synchronized

__all__ = ["Batch", "Feed", "Labelled", "batches", "in_single_precision", "producer"]

Batch = tuple[torch.Tensor, torch.Tensor]
"""Channels [batch, channel, z, y, x], bfloat16 or float32, and targets [batch, 1, z, y, x], float32 in [0, 1]."""

_PATIENCE_S = 300.0
_PER_SHARD = 48


@dataclass(frozen=True)
class Labelled:
    """Real images that are mixed into the synthetic ones.

    Attributes:
        cases: Of datasets.
        share: Share of the crops that come from them.
    """

    cases: tuple[Case, ...] = ()
    share: float = 0.0

    def crops(self) -> list[Crop]:
        """One crop for every structure of every case.

        Raises:
            DatasetError: A case cannot be used.
        """
        found: list[Crop] = []
        for case in self.cases:
            volume = read_case(case, {})
            found += crops_of(volume.image, volume.labels)
        return found


def in_single_precision(spec: ModelSpec) -> ModelSpec:
    """The spec with float32 channels, which is what training computes in; numpy is slow to make float16."""
    return spec.model_copy(update={"input": spec.input.model_copy(update={"dtype": "FP32"})})


@dataclass(frozen=True)
class Feed(IterableDataset[Batch]):
    """Batches without end, of one ROI size each.

    Attributes:
        pool: Folder of the crops.
        spec: ROI and channels.
        seed: Of this stream.
        sizes: (edge of the ROI's grid, samples in a batch), drawn by ``odds``.
        odds: Probabilities of ``sizes``.
        half: Whether to give channels as bfloat16.
    """

    pool: Path
    spec: ModelSpec
    seed: tuple[int, ...]
    sizes: tuple[tuple[int, int], ...] = ((48, 8), (64, 4))
    odds: tuple[float, ...] = (0.65, 0.35)
    half: bool = False

    def __iter__(self) -> Iterator[Batch]:
        rng = np.random.default_rng(self.seed)
        spec = in_single_precision(self.spec)
        limit = time.monotonic() + _PATIENCE_S
        while not shards(self.pool):
            if time.monotonic() > limit:
                raise InternalError(f"no sample appeared in the pool within {_PATIENCE_S:.0f} s")
            time.sleep(0.2)
        crops = iter(Deck(self.pool, rng))
        while True:
            edge, count = self.sizes[int(rng.choice(len(self.sizes), p=self.odds))]
            samples = [sample(rng, next(crops), spec, edge=edge) for _ in range(count)]
            channels = torch.from_numpy(np.stack([one.channels for one in samples]))
            target = torch.from_numpy(np.stack([one.target for one in samples])[:, None])
            yield channels.to(torch.bfloat16) if self.half else channels, target


def batches(feed: Feed, *, workers: int) -> Iterator[Batch]:
    """The feed's batches, made by a process of their own when ``workers`` is 1; 0 makes them here."""
    if not workers:
        return iter(feed)
    # More than one worker would draw the same cards; one keeps up with a network on a few cores.
    return iter(DataLoader(feed, batch_size=None, num_workers=1, prefetch_factor=6, multiprocessing_context="spawn"))


def producer(
    pool: Path, *, seed: int, lead: int, reuse: float, edge: int = SCENE_EDGE, labelled: Labelled = Labelled()
) -> tuple[BaseProcess, Synchronized[int]]:
    """Start a process that keeps the pool ahead of the training.

    Args:
        pool: Folder of the crops; scenes go on from the last one there.
        seed: Of the scenes.
        lead: Crops to make before the network has seen any.
        reuse: How often the network may see a crop, on average, before there must be new ones.
        edge: Voxels of a scene along each axis.
        labelled: Real images to mix in.

    Returns:
        The process, to be terminated, and the number of samples shown so far, to be kept up to date.
    """
    context = multiprocessing.get_context("spawn")
    shown = context.Value("q", 0)
    task = _Production(pool=pool, seed=seed, lead=lead, reuse=reuse, edge=edge, labelled=labelled, parent=os.getpid())
    process = context.Process(target=_produce, args=(task, shown), daemon=True)
    process.start()
    return process, shown


@dataclass(frozen=True, kw_only=True)
class _Production:
    pool: Path
    seed: int
    lead: int
    reuse: float
    edge: int
    labelled: Labelled
    parent: int


def _produce(task: _Production, shown: Synchronized[int]) -> None:
    known = shards(task.pool)
    index = 1 + max((int(path.stem.split("-")[0]) for path in known), default=-1)
    made = sum(int(path.stem.split("-")[1]) for path in known)
    real = task.labelled.crops()
    # A killed trainer leaves an orphan: it must not fill the disk.
    while os.getppid() == task.parent:
        if made >= task.lead + shown.value / task.reuse:
            time.sleep(0.2)
            continue
        rng = np.random.default_rng((task.seed, index, 1))
        if real and rng.random() < task.labelled.share:
            crops = deform(rng, real, count=_PER_SHARD)
        else:
            crops = generate(task.seed, index, edge=task.edge)
        if crops:
            write_shard(task.pool, index, crops)
        made += len(crops)
        index += 1
