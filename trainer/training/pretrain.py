"""Pre-training of the annotation network: the loop, its saves and what it publishes."""

from __future__ import annotations

import json
import math
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sixpoint.io.atomic_files import write_file
from trainer.data.batch_reuse import reuse_batches
from trainer.data.dataloader import Batch, BatchStream, iterate_batches
from trainer.simulation import gpu_clicks
from trainer.simulation.interaction_rounds import Correction, InteractionChannels, find_corrections
from trainer.training.checkpoint import CHECKPOINT, publish
from trainer.training.config import MAX_ROUNDS, PretrainConfig, PretrainProgress
from trainer.training.learner import Learner, check_same_run, read_samples_seen
from trainer.training.schedule import cosine_schedule
from trainer.training.validation import ValidationScore, ValidationSet, validate
from trainer.training.warm_start import start_network

__all__ = ["check_folder", "pretrain"]

_LAST = "last.pt"
_LOSS_INTERVAL = 20
"""Steps between two reads of the loss: each waits for the GPU."""
_LOSS_WEIGHT = 0.1
"""Weight of a newly read loss in the running mean."""
_GPU_BATCHES = 2
"""Batches in training at once on a GPU: while one is corrected, the network learns from the other."""
_GPU_BATCH_USES = 2
"""Uses of a batch on a GPU: 15 cores then keep up with an H100."""
_WARM_UP_STEPS = 150
_SAVES_PER_VALIDATION = 5

Report = Callable[[PretrainProgress], None]


def check_folder(config: PretrainConfig) -> None:
    """Check that the run's folder holds no other run.

    Raises:
        FailedPrecondition: The folder holds a run of another network or other images. Another budget is the same run.
    """
    check_same_run(config.out / _LAST, _identity(config))


def pretrain(config: PretrainConfig, *, report: Report = lambda _: None) -> Path:
    """Train until the budget is spent, resuming the run in the folder if there is one.

    Args:
        config: Configuration of the run.
        report: Callback after every step.

    Returns:
        Path of the published checkpoint, with its spec beside it.

    Raises:
        FailedPrecondition: The folder holds another run.
        InvalidArgument: ``init`` does not fit the network, or no GPU is available for ``device``.
    """
    check_folder(config)
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
        start_network(config.spec, config.init),
        device=device,
        bfloat16=bfloat16,
        compiled=config.compiled,
        identity=_identity(config),
    )
    if (config.out / _LAST).exists():
        learner.load(config.out / _LAST)
    writer = SummaryWriter(config.out / "tensorboard", purge_step=learner.step)
    try:
        _Run(config, learner, _validation_set(config), writer, report).train(stream)
    finally:
        writer.close()
    return config.out / CHECKPOINT


def _identity(config: PretrainConfig) -> Mapping[str, Any]:
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
    }


def _batch_stream(config: PretrainConfig, *, bfloat16: bool) -> BatchStream:
    return BatchStream(
        spec=config.spec,
        seed=config.seed,
        samples_seen=read_samples_seen(config.out / _LAST),
        sizes=config.sizes,
        size_probabilities=config.size_probabilities,
        bfloat16=bfloat16,
        crop_uses=config.crop_uses,
        pool_size=config.pool_size,
        scene_edge=config.scene_edge,
        labelled=config.labelled,
    )


def _worker_count(config: PretrainConfig, device: torch.device) -> int:
    if config.workers is not None:
        return config.workers
    return max(1, (os.cpu_count() or 1) - 1) if device.type == "cuda" else 1


def _validation_set(config: PretrainConfig) -> ValidationSet:
    # Training uses config.seed: the validation set has its own.
    seed = config.seed + 1
    if config.held_out.cases:
        return ValidationSet.from_crops(config.held_out.crops(), config.spec, rng=np.random.default_rng(seed))
    return ValidationSet.draw(config.spec, seed=seed, scenes=config.validation_scenes, edge=config.scene_edge)


@dataclass
class _ActiveBatch:
    """A batch that the network is trained on for one or more rounds.

    Attributes:
        channels: Network input, [batch, channel, z, y, x].
        target: Fraction of each cell that the object fills, [batch, 1, z, y, x].
        logits: Last answer of the network, [batch, 1, z, y, x].
        rounds: Number of training steps on this batch.
        corrections: Function that waits for the next clicks. None: the next step takes a new batch.
    """

    channels: torch.Tensor = field(default_factory=lambda: torch.empty(0))
    target: torch.Tensor = field(default_factory=lambda: torch.empty(0))
    logits: torch.Tensor = field(default_factory=lambda: torch.empty(0))
    rounds: int = 0
    corrections: Callable[[], list[Correction | None]] | None = None


class _Run:
    """The training loop on one device."""

    def __init__(
        self, config: PretrainConfig, learner: Learner, validation_set: ValidationSet, writer: Any, report: Report
    ) -> None:
        self.config = config
        self.learner = learner
        self.validation_set = validation_set
        self.writer = writer
        self.report = report
        self.interaction = InteractionChannels.from_spec(config.spec)
        self.on_gpu = learner.device.type == "cuda"
        self.score: ValidationScore | None = None

    def train(self, stream: Iterator[Batch]) -> None:
        """Train on a stream of batches until the budget is spent."""
        config, learner = self.config, self.learner
        rng = np.random.default_rng((config.seed, learner.step, 2))
        batches = reuse_batches(
            stream,
            device=learner.device,
            uses=config.batch_uses or (_GPU_BATCH_USES if self.on_gpu else 1),
            rng=np.random.default_rng((config.seed, learner.step, 3)),
        )
        active = deque(_ActiveBatch() for _ in range(_GPU_BATCHES if self.on_gpu else 1))
        before, started = learner.elapsed_s, time.monotonic()
        saved, saves = started, 0
        while (fraction := self._budget_spent()) < 1.0:
            learning_rate = cosine_schedule(
                config.learning_rate, step=learner.step, warm_up_steps=_WARM_UP_STEPS, fraction=fraction
            )
            batch = active.popleft()
            loss = self._step(batch, batches, rng, learning_rate=learning_rate)
            active.append(batch)
            learner.elapsed_s = before + time.monotonic() - started
            self._log_loss(loss, learning_rate)
            self._report(fraction)
            if time.monotonic() - saved >= config.save_interval_s:
                saves += 1
                if saves % _SAVES_PER_VALIDATION == 0:
                    self.score = self._publish()
                learner.save(config.out / _LAST)
                saved = time.monotonic()
        self.score = self._publish()
        learner.save(config.out / _LAST)
        self._report(1.0)

    def _budget_spent(self) -> float:
        config, learner = self.config, self.learner
        return min(1.0, max(learner.elapsed_s / (60.0 * config.minutes), learner.step / config.steps))

    def _step(
        self, batch: _ActiveBatch, batches: Iterator[Batch], rng: np.random.Generator, *, learning_rate: float
    ) -> torch.Tensor:
        """Take a step on a batch: with corrected clicks, or, where there are none to wait for, on a new batch."""
        click_region = None
        if self.interaction is not None and batch.corrections is not None:
            click_region = self.interaction.write_corrections(batch.channels, batch.logits, batch.corrections())
        else:
            batch.channels, batch.target = next(batches)
            batch.rounds = 0
            self.learner.samples_seen += len(batch.target)
        batch.logits, loss = self.learner.train_step(
            batch.channels, batch.target, click_region, learning_rate=learning_rate
        )
        batch.rounds += 1
        find = gpu_clicks.find_corrections if self.on_gpu else find_corrections
        another_round = (
            self.interaction is not None and batch.rounds < MAX_ROUNDS and rng.random() < self.config.click_probability
        )
        batch.corrections = find(rng, batch.target, batch.logits) if another_round else None
        return loss

    def _log_loss(self, loss: torch.Tensor, learning_rate: float) -> None:
        learner = self.learner
        due = learner.step % _LOSS_INTERVAL == 0 or math.isnan(learner.loss)
        if due and math.isfinite(value := float(loss)):
            mean = learner.loss
            learner.loss = value if math.isnan(mean) else mean + _LOSS_WEIGHT * (value - mean)
            self.writer.add_scalar("loss", value, learner.step)
            self.writer.add_scalar("rate", learning_rate, learner.step)

    def _report(self, fraction: float) -> None:
        learner = self.learner
        self.report(
            PretrainProgress(
                step=learner.step,
                samples_seen=learner.samples_seen,
                elapsed_s=learner.elapsed_s,
                fraction=fraction,
                loss=learner.loss,
                score=self.score,
            )
        )

    def _publish(self) -> ValidationScore:
        """Validate the averaged weights, write metrics, and publish unless an earlier checkpoint is better."""
        config, learner = self.config, self.learner
        network = learner.averaged_network(config.spec)
        score = validate(network, self.validation_set, interaction=self.interaction, bfloat16=learner.bfloat16)
        real = bool(config.held_out.cases)
        figures = score.figures("") if real else score.figures()
        self.writer.add_scalar("dice" if real else "synthetic/dice", score.dice, learner.step)
        best = not real or all(figures["dice"] > entry["dice"] for entry in learner.history)
        minutes = round(learner.elapsed_s / 60, 2)
        counters = {"step": learner.step, "shown": learner.samples_seen, "minutes": minutes, "loss": learner.loss}
        learner.history.append({**counters, **figures})
        write_file(config.out / "metrics.json", json.dumps(learner.history, indent=1).encode())
        if best:
            changes = {
                "metrics": {**config.spec.metrics, **figures},
                "provenance": {**config.spec.provenance, **_provenance(config, learner)},
            }
            publish(config.out, learner.average.state, config.spec.model_copy(update=changes))
        return score


def _provenance(config: PretrainConfig, learner: Learner) -> dict[str, str]:
    return {
        "trained_on": config.labelled.describe(),
        "samples_shown": str(learner.samples_seen),
        "steps": str(learner.step),
        "minutes": f"{learner.elapsed_s / 60:.1f}",
        "device": torch.cuda.get_device_name(learner.device) if learner.device.type == "cuda" else "CPU",
        "cores": str(os.cpu_count()),
        "seed": str(config.seed),
        "trained_with": f"torch {torch.__version__}, numpy {np.__version__}",
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
