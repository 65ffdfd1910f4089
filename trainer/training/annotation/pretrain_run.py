"""The loop of pre-training and fine-tuning: its steps, its saves, its validations and what it publishes."""

from __future__ import annotations

import json
import math
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import torch

from sixpoint.io.atomic_files import write_file
from trainer.data.batch_reuse import reuse_batches
from trainer.data.dataloader import Batch
from trainer.simulation import gpu_clicks
from trainer.simulation.interaction_rounds import Correction, InteractionChannels, find_corrections
from trainer.simulation.round_settings import correct_partly
from trainer.training.checkpoint import publish
from trainer.training.config import MAX_ROUNDS, PretrainConfig, PretrainProgress
from trainer.training.learner import Learner
from trainer.training.schedule import cosine_schedule
from trainer.training.validation import ValidationScore, ValidationSet, validate

__all__ = ["CLICKS", "LAST", "PretrainRun", "Report"]

LAST = "last.pt"
"""File of the state that a run is resumed from."""
CLICKS = "clicks.json"
"""File with what clicks correct and spoil, as of the last validation."""
_LOSS_INTERVAL = 20
"""Steps between two reads of the loss: each waits for the GPU."""
_LOSS_WEIGHT = 0.1
"""Weight of a newly read loss in the running mean."""
_GPU_BATCHES = 2
"""Batches in training at once on a GPU: while one is corrected, the network learns from the other."""
_GPU_BATCH_USES = 2
"""Uses of a batch on a GPU: 15 cores then keep up with an H100."""
_SAVES_PER_VALIDATION = 5
_PROBE_SAMPLES = 4

Report = Callable[[PretrainProgress], None]


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


class PretrainRun:
    """The training loop on one device.

    Args:
        config: Configuration of the run, its spec with licence and provenance.
        learner: Network in training.
        validation_set: Samples to validate on.
        writer: Writer of TensorBoard's files.
        report: Callback after every step, and before every validation.
        started: Time of :func:`time.monotonic` that this part of the run began at.
    """

    def __init__(
        self,
        config: PretrainConfig,
        learner: Learner,
        validation_set: ValidationSet,
        writer: Any,
        report: Report,
        started: float,
    ) -> None:
        self.config = config
        self.learner = learner
        self.validation_set = validation_set
        self.writer = writer
        self.report = report
        self.interaction = InteractionChannels.from_spec(config.spec)
        self.on_gpu = learner.device.type == "cuda"
        self.score: ValidationScore | None = None
        self.clock_zero = started - learner.elapsed_s
        # Seconds that the last validation will take, kept free for it: the run must end with its budget.
        self.reserve_s = 0.0

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
        saved, saves = time.monotonic(), 0
        self._tick()
        self._measure_start()
        self._reserve_validation()
        # However short the budget, a new run takes a step.
        while (fraction := self._budget_spent()) < 1.0 or not learner.step:
            learning_rate = cosine_schedule(
                config.learning_rate, step=learner.step, warm_up_steps=config.warm_up_steps, fraction=fraction
            )
            batch = active.popleft()
            loss = self._step(batch, batches, rng, learning_rate=learning_rate)
            active.append(batch)
            self._tick()
            self._log_loss(loss, learning_rate)
            self._report(fraction)
            if time.monotonic() - saved >= config.save_interval_s:
                saves += 1
                if saves % _SAVES_PER_VALIDATION == 0:
                    self._validate_and_publish()
                learner.save(config.out / LAST)
                saved = time.monotonic()
        self._validate_and_publish()
        learner.save(config.out / LAST)
        self._report(1.0)

    def _measure_start(self) -> None:
        """Measure the weights to start from on the held-out cases: what a better network is compared with."""
        config, learner = self.config, self.learner
        if config.init is None or not config.held_out.cases or learner.step or learner.history:
            return
        self._report(0.0, stage="validating")
        began = time.monotonic()
        score = validate(
            learner.averaged_network(config.spec),
            self.validation_set,
            interaction=self.interaction,
            bfloat16=learner.bfloat16,
        )
        self.reserve_s = time.monotonic() - began
        self._tick()
        self._append_to_history(score.figures(""))

    def _tick(self) -> None:
        self.learner.elapsed_s = time.monotonic() - self.clock_zero

    def _budget_spent(self) -> float:
        config, learner = self.config, self.learner
        spent = (learner.elapsed_s + self.reserve_s) / (60.0 * config.minutes)
        return min(1.0, max(spent, learner.step / config.steps))

    def _reserve_validation(self) -> None:
        """Estimate how long a validation takes, where the budget may end before the first one has shown it."""
        if self.reserve_s:
            return
        config = self.config
        first = _SAVES_PER_VALIDATION * config.save_interval_s
        if 60.0 * config.minutes - self.learner.elapsed_s > 2 * first or self.learner.step >= config.steps:
            return
        few = self.validation_set.first(_PROBE_SAMPLES)
        # The first computation on a GPU takes much longer than the others.
        for _ in range(2 if self.on_gpu else 1):
            began = time.monotonic()
            validate(self.learner.network, few, interaction=self.interaction, bfloat16=self.learner.bfloat16)
            took = time.monotonic() - began
        self.reserve_s = took * len(self.validation_set.exact) / len(few.exact)
        self._tick()

    def _step(
        self, batch: _ActiveBatch, batches: Iterator[Batch], rng: np.random.Generator, *, learning_rate: float
    ) -> torch.Tensor:
        """Take a step on a batch: with corrected clicks, or, where there are none to wait for, on a new batch."""
        rounds = self.config.rounds
        click_region = previous = None
        if self.interaction is not None and batch.corrections is not None:
            previous = batch.logits
            click_region = self.interaction.write_corrections(batch.channels, previous, batch.corrections())
        else:
            batch.channels, batch.target = next(batches)
            batch.rounds = 0
            self.learner.samples_seen += len(batch.target)
        batch.logits, loss = self.learner.train_step(
            batch.channels,
            batch.target,
            click_region,
            learning_rate=learning_rate,
            previous=previous,
            overshoot_weight=rounds.overshoot_weight,
        )
        batch.rounds += 1
        batch.corrections = None
        if self.interaction is not None and batch.rounds < MAX_ROUNDS and rng.random() < self.config.click_probability:
            if rounds.corrected_fraction:
                batch.logits = correct_partly(rng, batch.target, batch.logits, fraction=rounds.corrected_fraction)
            find = gpu_clicks.find_corrections if self.on_gpu else find_corrections
            batch.corrections = find(rng, batch.target, batch.logits, extra_clicks=rounds.extra_clicks)
        return loss

    def _log_loss(self, loss: torch.Tensor, learning_rate: float) -> None:
        learner = self.learner
        due = learner.step % _LOSS_INTERVAL == 0 or math.isnan(learner.loss)
        if due and math.isfinite(value := float(loss)):
            mean = learner.loss
            learner.loss = value if math.isnan(mean) else mean + _LOSS_WEIGHT * (value - mean)
            self.writer.add_scalar("loss", value, learner.step)
            self.writer.add_scalar("rate", learning_rate, learner.step)

    def _report(self, fraction: float, stage: str = "training") -> None:
        learner = self.learner
        self.report(
            PretrainProgress(
                step=learner.step,
                samples_seen=learner.samples_seen,
                elapsed_s=learner.elapsed_s,
                fraction=fraction,
                loss=learner.loss,
                score=self.score,
                stage=stage,
            )
        )

    def _validate_and_publish(self) -> None:
        self._report(self._budget_spent(), stage="validating")
        began = time.monotonic()
        self.score = self._publish()
        self.reserve_s = time.monotonic() - began
        self._tick()

    def _publish(self) -> ValidationScore:
        """Validate the averaged weights, write metrics, and publish unless an earlier checkpoint is better."""
        config, learner = self.config, self.learner
        network = learner.averaged_network(config.spec)
        score = validate(network, self.validation_set, interaction=self.interaction, bfloat16=learner.bfloat16)
        self._tick()
        real = bool(config.held_out.cases)
        figures = score.figures("") if real else score.figures()
        self.writer.add_scalar("dice" if real else "synthetic/dice", score.dice, learner.step)
        # Step 0 is the network to start from: it is no result of this run.
        best = not real or all(figures["dice"] > entry["dice"] for entry in learner.history if entry["step"])
        self._append_to_history(figures)
        if score.clicks:
            write_file(config.out / CLICKS, json.dumps(score.clicks, indent=1).encode())
        if best:
            changes = {
                # The template's figures are those of another network.
                "metrics": figures,
                "provenance": {**config.spec.provenance, **_provenance(config, learner)},
            }
            publish(config.out, learner.average.state, config.spec.model_copy(update=changes))
        return score

    def _append_to_history(self, figures: Mapping[str, float]) -> None:
        learner = self.learner
        minutes = round(learner.elapsed_s / 60, 2)
        counters = {"step": learner.step, "shown": learner.samples_seen, "minutes": minutes, "loss": learner.loss}
        learner.history.append({**counters, **figures})
        # JSON has no NaN, which the loss is before the first step.
        entries = [{name: value for name, value in entry.items() if not math.isnan(value)} for entry in learner.history]
        write_file(self.config.out / "metrics.json", json.dumps(entries, indent=1).encode())


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
