"""Feeding the network: an endless stream of batches, made by processes of their own."""

from __future__ import annotations

import math
import multiprocessing
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.context import BaseContext

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from sixpoint.model_spec.spec import ModelSpec
from trainer.data.crop_pool import SCENE_EDGE, CropPool, CropSource
from trainer.data.datasets import Case, read_case
from trainer.data.real_crops import extract_crops
from trainer.data.samples import Crop, draw_sample

__all__ = ["Batch", "BatchStream", "LabelledCases", "iterate_batches", "with_float32_input", "worker_context"]

Batch = tuple[torch.Tensor, torch.Tensor]
"""Channels [batch, channel, z, y, x], bfloat16 or float32, and targets [batch, 1, z, y, x], float32 in [0, 1]."""


@dataclass(frozen=True)
class LabelledCases:
    """Real images that are mixed into the synthetic ones.

    Attributes:
        cases: Of datasets.
        share: Share of the crops that come from them.
    """

    cases: tuple[Case, ...] = ()
    fraction: float = 0.0

    def crops(self) -> list[Crop]:
        """One crop for every structure of every case.

        Raises:
            DatasetError: A case cannot be used.
        """
        found: list[Crop] = []
        for case in self.cases:
            volume = read_case(case, {})
            found += extract_crops(volume.image, volume.labels)
        return found


def with_float32_input(spec: ModelSpec) -> ModelSpec:
    """The spec with float32 channels, which is what training computes in; numpy is slow to make float16."""
    return spec.model_copy(update={"input": spec.input.model_copy(update={"dtype": "FP32"})})


@dataclass(frozen=True, kw_only=True)
class BatchStream(IterableDataset[Batch]):
    """Batches without end, of one ROI size each.

    Attributes:
        spec: ROI and channels.
        seed: Of the scenes, and of all that is drawn.
        shown: Samples that were shown before: what a resumed run has seen does not come again.
        sizes: (edge of the ROI's grid, samples in a batch), drawn by ``odds``.
        odds: Probabilities of ``sizes``.
        half: Whether to give channels as bfloat16.
        reuse: How often a crop is shown, on average.
        lead: Crops to mix, those of all processes together.
        edge: Voxels of a scene along each axis.
        labelled: Real images, mixed in; every process reads them for itself.
    """

    spec: ModelSpec
    seed: int
    samples_seen: int = 0
    sizes: tuple[tuple[int, int], ...] = ((48, 8), (64, 4))
    size_probabilities: tuple[float, ...] = (0.65, 0.35)
    bfloat16: bool = False
    crop_uses: float = 1.5
    pool_size: int = 2000
    scene_edge: int = SCENE_EDGE
    labelled: LabelledCases = field(default_factory=LabelledCases)

    def __iter__(self) -> Iterator[Batch]:
        info = get_worker_info()
        number, count = (info.id, info.num_workers) if info else (0, 1)
        rng = np.random.default_rng((self.seed, self.samples_seen, number))
        # A resumed run goes on with scenes that no earlier part of it can have come to.
        first = (self.samples_seen << 32) + number
        source = CropSource(
            seed=self.seed,
            first_scene=first,
            scene_step=count,
            scene_edge=self.scene_edge,
            real_crops=tuple(self.labelled.crops()),
            real_fraction=self.labelled.fraction,
        )
        pool = CropPool(source=iter(source), size=math.ceil(self.pool_size / count), crop_uses=self.crop_uses, rng=rng)
        spec, crops = with_float32_input(self.spec), iter(pool)
        while True:
            edge, samples_count = self.sizes[int(rng.choice(len(self.sizes), p=self.size_probabilities))]
            samples = [draw_sample(rng, next(crops), spec, edge=edge) for _ in range(samples_count)]
            channels = torch.from_numpy(np.stack([one.channels for one in samples]))
            target = torch.from_numpy(np.stack([one.target for one in samples])[:, None])
            yield channels.to(torch.bfloat16) if self.bfloat16 else channels, target


def worker_context() -> BaseContext:
    """How processes that help the training are started: each a fork of one that has imported what they need.

    Started anew, each would take seconds to import PyTorch; forked from the one that trains, it would inherit what its
    threads hold.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["trainer.data.dataloader"])
    return context


def iterate_batches(stream: BatchStream, *, workers: int, pinned: bool = False) -> Iterator[Batch]:
    """The feed's batches, made by ``workers`` processes; 0 makes them here. ``pinned``: in memory that a GPU reads."""
    if not workers:
        return iter(stream)
    ahead = 6 if workers == 1 else 2
    loader = DataLoader(
        stream,
        batch_size=None,
        num_workers=workers,
        prefetch_factor=ahead,
        multiprocessing_context=worker_context(),
        pin_memory=pinned,
    )
    return iter(loader)
