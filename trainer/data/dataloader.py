"""Batches of training samples, without end, made by worker processes."""

from __future__ import annotations

import math
import multiprocessing
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing.context import BaseContext

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from sixpoint.model_spec import ModelSpec
from trainer.data.crop_pool import INITIAL_CROPS, INITIAL_REAL_CROPS, SCENE_EDGE, CropPool, CropSource
from trainer.data.datasets import Case, read_case
from trainer.data.real_crops import extract_crops
from trainer.data.samples import OF_EVERY_KIND, Augmentation, Crop, draw_sample
from trainer.simulation.simulated_user import MAX_JITTER_FRACTION

__all__ = ["Batch", "BatchStream", "LabelledCases", "iterate_batches", "with_float32_input", "worker_context"]

Batch = tuple[torch.Tensor, torch.Tensor]
"""Channels [batch, channel, z, y, x], bfloat16 or float32, and targets [batch, 1, z, y, x], float32 in [0, 1]."""


@dataclass(frozen=True)
class LabelledCases:
    """Labelled images that are mixed into the synthetic ones.

    Attributes:
        cases: Cases of a dataset.
        fraction: Fraction of the crops that come from them, 0 to 1.
    """

    cases: tuple[Case, ...] = ()
    fraction: float = 0.0

    def crops(self) -> list[Crop]:
        """Read one crop of every structure of every case.

        Raises:
            DatasetError: A case is unusable.
        """
        crops: list[Crop] = []
        for case in self.cases:
            volume = read_case(case, {})
            crops += extract_crops(volume.image, volume.labels)
        return crops

    def describe(self) -> str:
        """Describe for a model's provenance what a network trained with these cases has seen."""
        if not self.cases:
            return "synthetic scenes only"
        if self.fraction >= 1.0:
            return f"{len(self.cases)} labelled images"
        return f"synthetic scenes, and {self.fraction:.0%} crops of {len(self.cases)} labelled images"


def with_float32_input(spec: ModelSpec) -> ModelSpec:
    """Return the spec with float32 channels: training computes in it, and NumPy is slow to make float16."""
    return spec.model_copy(update={"input": spec.input.model_copy(update={"dtype": "FP32"})})


@dataclass(frozen=True, kw_only=True)
class BatchStream(IterableDataset[Batch]):
    """Endless batches, each of one ROI size.

    Attributes:
        spec: ROI and channels.
        seed: Seed of the scenes and of every draw.
        samples_seen: Number of samples that earlier parts of a resumed run were trained on. They do not come again.
        sizes: (edge of the ROI's grid, samples in a batch) of each kind of batch.
        size_probabilities: Probability of each entry of ``sizes``.
        bfloat16: Whether the channels are bfloat16.
        crop_uses: Average number of samples that are drawn from one crop.
        pool_size: Number of crops to mix, over all worker processes.
        scene_edge: Edge of a scene, in voxels.
        labelled: Labelled images to mix in. Every worker process reads them itself.
        augmentation: How often samples differ from what they are made of.
        compact_fraction: Fraction of the scenes that have compact bodies with an uneven interior.
        jitter_fraction: Fraction of an object's extent by which its points may miss.
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
    augmentation: Augmentation = OF_EVERY_KIND
    compact_fraction: float = 0.0
    jitter_fraction: float = MAX_JITTER_FRACTION

    def __iter__(self) -> Iterator[Batch]:
        info = get_worker_info()
        number, count = (info.id, info.num_workers) if info else (0, 1)
        rng = np.random.default_rng((self.seed, self.samples_seen, number))
        # A resumed run continues with scenes that no earlier part of it can have reached.
        first = (self.samples_seen << 32) + number
        source = CropSource(
            seed=self.seed,
            first_scene=first,
            scene_step=count,
            scene_edge=self.scene_edge,
            real_crops=tuple(self.labelled.crops()),
            real_fraction=self.labelled.fraction,
            coarse=self.augmentation.coarse,
            compact_fraction=self.compact_fraction,
        )
        pool = CropPool(
            source=iter(source),
            size=math.ceil(self.pool_size / count),
            initial=INITIAL_REAL_CROPS if self.labelled.fraction >= 1.0 else INITIAL_CROPS,
            crop_uses=self.crop_uses,
            rng=rng,
        )
        spec, crops = with_float32_input(self.spec), iter(pool)
        while True:
            edge, batch_size = self.sizes[int(rng.choice(len(self.sizes), p=self.size_probabilities))]
            samples = [
                draw_sample(
                    rng,
                    next(crops),
                    spec,
                    edge=edge,
                    augmentation=self.augmentation,
                    jitter_fraction=self.jitter_fraction,
                )
                for _ in range(batch_size)
            ]
            channels = torch.from_numpy(np.stack([sample.channels for sample in samples]))
            target = torch.from_numpy(np.stack([sample.target for sample in samples])[:, None])
            yield channels.to(torch.bfloat16) if self.bfloat16 else channels, target


def worker_context() -> BaseContext:
    """Return the way to start worker processes: forks of a server process that has imported PyTorch.

    A fresh process takes seconds to import PyTorch. A fork of the training process would inherit locks that its
    threads hold.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["trainer.data.dataloader"])
    return context


def iterate_batches(stream: BatchStream, *, workers: int, pinned: bool = False) -> Iterator[Batch]:
    """Iterate over the batches of a stream.

    Args:
        stream: Batches to make.
        workers: Number of worker processes; 0 makes the batches in this process.
        pinned: Whether to pin the batches in memory for transfer to a GPU.
    """
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
