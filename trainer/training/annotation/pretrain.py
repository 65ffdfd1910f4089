"""Pre-training of the annotation network: what a run is set up from."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trainer.data.dataloader import BatchStream, iterate_batches
from trainer.training.annotation.pretrain_run import LAST, PretrainRun, Report
from trainer.training.checkpoint import CHECKPOINT
from trainer.training.config import PretrainConfig
from trainer.training.learner import Learner, check_same_run, read_samples_seen
from trainer.training.start import StartFile, describe_origin, find_start, start_network
from trainer.training.validation import ValidationSet

__all__ = ["check_folder", "pretrain"]


def check_folder(config: PretrainConfig) -> None:
    """Check that the run's folder holds no other run.

    Raises:
        FailedPrecondition: The folder holds a run of another network or other images. Another budget is the same run.
    """
    check_same_run(config.out / LAST, _identity(config, _find_start(config)))


def pretrain(config: PretrainConfig, *, report: Report = lambda _: None, started: float | None = None) -> Path:
    """Train until the budget is spent, resuming the run in the folder if there is one.

    Args:
        config: Configuration of the run.
        report: Callback after every step, and before every validation.
        started: Time of :func:`time.monotonic` that the budget counts from; None: now.

    Returns:
        Path of the published checkpoint, with its spec beside it.

    Raises:
        FailedPrecondition: The folder holds another run.
        InvalidArgument: ``init`` does not fit the network, or no GPU is available for ``device``.
    """
    started = time.monotonic() if started is None else started
    start = _find_start(config)
    identity = _identity(config, start)
    check_same_run(config.out / LAST, identity)
    # The writer takes long to import, and only training needs it.
    from torch.utils.tensorboard import SummaryWriter

    config.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    device = config.device.resolve()
    bfloat16 = config.bfloat16 or device.type == "cuda"
    stream = iterate_batches(
        _batch_stream(config, bfloat16=bfloat16),
        workers=_worker_count(config, device),
        pinned=device.type == "cuda",
    )
    learner = Learner.create(
        start_network(config.spec, start),
        device=device,
        bfloat16=bfloat16,
        compiled=config.compiled,
        identity=identity,
    )
    if (config.out / LAST).exists():
        learner.load(config.out / LAST)
    origin = describe_origin(
        config.spec,
        start=start,
        dataset=config.dataset,
        licence=config.licence,
        annotations=config.annotations,
    )
    config = replace(config, spec=config.spec.model_copy(update=origin))
    writer = SummaryWriter(config.out / "tensorboard", purge_step=learner.step)
    try:
        PretrainRun(config, learner, _validation_set(config), writer, report, started).train(stream)
    finally:
        writer.close()
    return config.out / CHECKPOINT


def _find_start(config: PretrainConfig) -> StartFile | None:
    return find_start(config.init) if config.init else None


def _identity(config: PretrainConfig, start: StartFile | None) -> Mapping[str, Any]:
    """Collect what must not change when a run is resumed, by the name used in errors and stored in ``last.pt``."""
    spec = config.spec.model_dump(mode="json")
    return {
        "network": spec["network"],
        "region of interest": spec["roi"],
        "input": spec["input"],
        "seed": config.seed,
        "set of images to learn from": [case.name for case in config.labelled.cases],
        "set of images to hold out": [case.name for case in config.held_out.cases],
        "share of labelled images": config.labelled.fraction,
        "network to start from": start.sha256 if start else "",
        "setting of the rounds": config.rounds.changes(),
        "share of compact scenes": config.compact_fraction,
        "jitter": config.jitter_fraction,
    }


def _batch_stream(config: PretrainConfig, *, bfloat16: bool) -> BatchStream:
    return BatchStream(
        spec=config.spec,
        seed=config.seed,
        samples_seen=read_samples_seen(config.out / LAST),
        sizes=config.sizes,
        size_probabilities=config.size_probabilities,
        bfloat16=bfloat16,
        crop_uses=config.crop_uses,
        pool_size=config.pool_size,
        scene_edge=config.scene_edge,
        labelled=config.labelled,
        augmentation=config.augmentation,
        compact_fraction=config.compact_fraction,
        jitter_fraction=config.jitter_fraction,
    )


def _worker_count(config: PretrainConfig, device: torch.device) -> int:
    if config.workers is not None:
        return config.workers
    return max(1, (os.cpu_count() or 1) - 1) if device.type == "cuda" else 1


def _validation_set(config: PretrainConfig) -> ValidationSet:
    # Training uses config.seed: the validation set has its own.
    seed = config.seed + 1
    if config.held_out.cases:
        return ValidationSet.from_crops(
            config.held_out.crops(),
            config.spec,
            rng=np.random.default_rng(seed),
            names=config.dataset.labels if config.dataset else {},
            augmentation=config.augmentation,
        )
    return ValidationSet.draw(config.spec, seed=seed, scenes=config.validation_scenes, edge=config.scene_edge)
