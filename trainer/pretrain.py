"""Synthetic pre-training: the loop, its schedule, its checkpoints and what it publishes."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from monai.losses.dice import DiceCELoss
from torch import nn

from sixpoint.errors import InvalidArgument
from sixpoint.spec import ModelSpec
from trainer.feeding import Batch, Feed, Labelled, batches, producer
from trainer.network import (
    Average,
    adapt,
    build,
    load_fitting,
    read_spec,
    read_state,
    save_atomically,
    write_atomically,
)
from trainer.pool import SCENE_EDGE
from trainer.rounds import Rounds
from trainer.validation import Score, ValidationSet, validate

__all__ = ["CHECKPOINT", "SPEC", "Plan", "Progress", "pretrain"]

CHECKPOINT = "checkpoint.pt"
"""What is published: ``{"state_dict": averaged weights}``."""
SPEC = "spec.yaml"
"""The spec beside it, with measured figures and provenance."""
MOST_ROUNDS = 6
"""The first answer and five corrections."""
_LAST = "last.pt"
_WARM_UP_STEPS = 150
_CLICKED = 0.5
"""Weight of the cross-entropy round the errors that were clicked, beside the loss of the whole: obey, and no more."""


@dataclass(frozen=True)
class Plan:
    """How to train.

    Attributes:
        spec: The network, its ROI and its channels.
        out: Folder of the run: pool, checkpoints, metrics.
        minutes: Budget of training time, earlier parts of a resumed run included; the learning rate follows it.
        steps: Budget of steps; training ends with whichever budget is spent first.
        rate: Peak learning rate.
        seed: Of everything.
        reuse: How often a crop is shown, on average, before the pool must grow.
        lead: Crops in the pool before the first step counts.
        sizes: (edge of the ROI's grid, samples in a batch).
        odds: Probabilities of ``sizes``.
        threads: Threads of the network.
        workers: Processes that make batches, 0 or 1.
        half: Whether to compute in bfloat16 where that is safe: quicker on processors with AMX, slower on others.
        validation_scenes: Scenes that the validation set is drawn from.
        scene_edge: Voxels of a scene along each axis.
        every_s: Seconds between checkpoints; a validation comes with every fifth.
        keep_pool: Whether to leave the crops on disk at the end.
        init: Checkpoint to start from, its spec beside it; None: random weights.
        labelled: Real images to mix in.
        held_out: Real images to validate on, in place of scenes; what is published is then the best so far.
        again: Chance of a further round, with a correcting click, after each; at most :data:`MOST_ROUNDS` in all.
        compiled: Whether to let ``torch.compile`` speed the network up; it needs a C++ compiler and some minutes.
    """

    spec: ModelSpec
    out: Path
    minutes: float = 60.0
    steps: int = 1_000_000
    rate: float = 1.5e-3
    seed: int = 1
    reuse: float = 1.5
    lead: int = 2000
    sizes: tuple[tuple[int, int], ...] = ((48, 8), (64, 4))
    odds: tuple[float, ...] = (0.65, 0.35)
    threads: int = 2
    workers: int = 1
    half: bool = False
    validation_scenes: int = 6
    scene_edge: int = SCENE_EDGE
    every_s: float = 120.0
    keep_pool: bool = True
    init: Path | None = None
    labelled: Labelled = field(default_factory=Labelled)
    held_out: Labelled = field(default_factory=Labelled)
    again: float = 0.6
    compiled: bool = False


@dataclass(frozen=True)
class Progress:
    """Where a run stands.

    Attributes:
        step: Steps taken.
        shown: Samples shown.
        elapsed_s: Seconds of training, earlier parts of a resumed run included.
        share: Part of the budget that is spent, 0 to 1.
        loss: Running mean of the loss.
        score: Of the last validation, if there was one.
    """

    step: int
    shown: int
    elapsed_s: float
    share: float
    loss: float
    score: Score | None


@dataclass
class _Run:
    """The moving parts of a run: everything that a checkpoint holds."""

    network: nn.Module
    optimiser: torch.optim.Optimizer
    average: Average
    step: int = 0
    shown: int = 0
    elapsed_s: float = 0.0
    loss: float = math.nan
    history: list[dict[str, float]] = field(default_factory=list)

    def save(self, path: Path) -> None:
        save_atomically(
            path,
            {
                "network": self.network.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "average": self.average.state,
                "counters": {"step": self.step, "shown": self.shown, "elapsed_s": self.elapsed_s, "loss": self.loss},
                "history": self.history,
            },
        )

    def load(self, path: Path) -> None:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.average.state = state["average"]
        self.step, self.shown = int(state["counters"]["step"]), int(state["counters"]["shown"])
        self.elapsed_s, self.loss = float(state["counters"]["elapsed_s"]), float(state["counters"]["loss"])
        self.history = list(state["history"])


def pretrain(plan: Plan, *, report: Callable[[Progress], None] = lambda _: None) -> Path:
    """Train until the budget is spent, going on from the folder's last checkpoint if there is one.

    Args:
        plan: What to do.
        report: Called after every step.

    Returns:
        The published checkpoint; its spec lies beside it.
    """
    # The writer is slow to import, and only training needs it.
    from torch.utils.tensorboard import SummaryWriter

    plan.out.mkdir(parents=True, exist_ok=True)
    pool = plan.out / "pool"
    pool.mkdir(exist_ok=True)
    torch.set_num_threads(plan.threads)
    torch.manual_seed(plan.seed)
    run = _start(plan)
    process, shown = producer(
        pool, seed=plan.seed, lead=plan.lead, reuse=plan.reuse, edge=plan.scene_edge, labelled=plan.labelled
    )
    writer = SummaryWriter(plan.out / "tensorboard", purge_step=run.step)
    try:
        holdout = _holdout(plan)
        feed = Feed(pool, plan.spec, (plan.seed, run.step), sizes=plan.sizes, odds=plan.odds, half=plan.half)
        _loop(plan, run, batches(feed, workers=plan.workers), holdout, shown, writer, report)
    finally:
        process.terminate()
        process.join()
        writer.close()
    if not plan.keep_pool:
        for shard in pool.glob("*.npz"):
            shard.unlink()
    return plan.out / CHECKPOINT


def _holdout(plan: Plan) -> ValidationSet:
    if plan.held_out.cases:
        return ValidationSet.of(plan.held_out.crops(), plan.spec, rng=np.random.default_rng(plan.seed + 1))
    return ValidationSet.draw(plan.spec, seed=plan.seed + 1, scenes=plan.validation_scenes, edge=plan.scene_edge)


def _start(plan: Plan) -> _Run:
    network = build(plan.spec).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    if plan.init is not None:
        state = adapt(read_state(plan.init), old=_spec_beside(plan.init), new=plan.spec)
        load_fitting(network, state, source=plan.init)
    optimiser = torch.optim.AdamW(network.parameters(), lr=plan.rate, weight_decay=1e-4)
    run = _Run(network=network, optimiser=optimiser, average=Average(network))
    if (plan.out / _LAST).exists():
        run.load(plan.out / _LAST)
    return run


def _spec_beside(checkpoint: Path) -> ModelSpec:
    path = checkpoint.with_name(SPEC)
    if not path.exists():
        raise InvalidArgument(f"{checkpoint} has no {SPEC} beside it, which says what its channels are")
    return read_spec(path)


def _loop(
    plan: Plan,
    run: _Run,
    stream: Iterator[Batch],
    holdout: ValidationSet,
    shown: Any,
    writer: Any,
    report: Callable[[Progress], None],
) -> None:
    loss_of = DiceCELoss(sigmoid=True)
    rounds = Rounds.of(plan.spec)
    rng = np.random.default_rng((plan.seed, run.step, 2))
    forward = torch.compile(run.network, dynamic=False) if plan.compiled else run.network
    before, started = run.elapsed_s, time.monotonic()
    saved, saves, score = started, 0, None
    turn, channels, target = 0, torch.empty(0), torch.empty(0)
    logits, clicked = target, None
    while (share := _share(plan, run)) < 1.0:
        if rounds is not None and 0 < turn < MOST_ROUNDS and rng.random() < plan.again:
            turn += 1
            clicked = rounds.advance(rng, channels, target, logits)
        else:
            turn, clicked = 1, None
            channels, target = next(stream)
            run.shown += len(target)
            shown.value = run.shown
        rate = _rate(plan, run.step, share)
        logits, loss = _step(plan, run, forward, channels, target, clicked, loss_of, rate)
        run.elapsed_s = before + time.monotonic() - started
        if run.step % 20 == 0:
            writer.add_scalar("loss", loss, run.step)
            writer.add_scalar("rate", rate, run.step)
        report(Progress(run.step, run.shown, run.elapsed_s, share, run.loss, score))
        if time.monotonic() - saved >= plan.every_s:
            saves += 1
            if saves % 5 == 0:
                score = _publish(plan, run, holdout, writer)
            run.save(plan.out / _LAST)
            saved = time.monotonic()
    score = _publish(plan, run, holdout, writer)
    run.save(plan.out / _LAST)
    report(Progress(run.step, run.shown, run.elapsed_s, 1.0, run.loss, score))


def _trained_on(labelled: Labelled) -> str:
    if not labelled.cases:
        return "synthetic scenes only"
    if labelled.share >= 1.0:
        return f"{len(labelled.cases)} labelled images"
    return f"synthetic scenes, and {labelled.share:.0%} crops of {len(labelled.cases)} labelled images"


def _share(plan: Plan, run: _Run) -> float:
    return min(1.0, max(run.elapsed_s / (60.0 * plan.minutes), run.step / plan.steps))


def _rate(plan: Plan, step: int, share: float) -> float:
    """The learning rate: a linear warm-up, then a cosine over the budget, down to a hundredth."""
    return plan.rate * min(1.0, (step + 1) / _WARM_UP_STEPS) * (0.01 + 0.99 * (1 + math.cos(math.pi * share)) / 2)


def _step(
    plan: Plan,
    run: _Run,
    forward: Callable[[torch.Tensor], torch.Tensor],
    channels: torch.Tensor,
    target: torch.Tensor,
    clicked: torch.Tensor | None,
    loss_of: nn.Module,
    rate: float,
) -> tuple[torch.Tensor, float]:
    """One step of the optimiser; the batch's logits and loss."""
    for group in run.optimiser.param_groups:
        group["lr"] = rate
    run.network.train()
    channels = channels.contiguous(memory_format=torch.channels_last_3d)
    with torch.autocast("cpu", torch.bfloat16, enabled=plan.half):
        logits = forward(channels)
    loss = loss_of(logits.float(), target)
    if clicked is not None and bool(clicked.any()):
        loss = loss + _CLICKED * _clicked_loss(logits.float(), target, clicked)
    run.optimiser.zero_grad(set_to_none=True)
    loss.backward()
    norm = nn.utils.clip_grad_norm_(run.network.parameters(), 1.0)
    value = float(loss.detach())
    # One bad batch must not end a run of hours.
    if math.isfinite(value) and bool(torch.isfinite(norm)):
        run.optimiser.step()
        run.average.update(run.network, run.step)
        run.loss = value if math.isnan(run.loss) else 0.99 * run.loss + 0.01 * value
    run.step += 1
    return logits, value


def _clicked_loss(logits: torch.Tensor, target: torch.Tensor, clicked: torch.Tensor) -> torch.Tensor:
    """Cross-entropy round the clicked errors, the mean over samples: a small error counts as much as a large one."""
    entropy = nn.functional.binary_cross_entropy_with_logits(logits, target, reduction="none") * clicked
    return (entropy.flatten(1).sum(1) / clicked.flatten(1).sum(1).clamp(min=1)).mean()


def _publish(plan: Plan, run: _Run, holdout: ValidationSet, writer: Any) -> Score:
    """Validate the averaged weights, then write checkpoint, spec and metrics."""
    network = build(plan.spec).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    network.load_state_dict(run.average.state)
    score = validate(network, holdout, rounds=Rounds.of(plan.spec), half=plan.half)
    real = bool(plan.held_out.cases)
    figures = score.figures("") if real else score.figures()
    writer.add_scalar("dice" if real else "synthetic/dice", score.dice, run.step)
    best = not real or all(figures["dice"] > entry["dice"] for entry in run.history)
    counters = {"step": run.step, "shown": run.shown, "minutes": round(run.elapsed_s / 60, 2), "loss": run.loss}
    run.history.append({**counters, **figures})
    write_atomically(plan.out / "metrics.json", json.dumps(run.history, indent=1).encode())
    if not best:
        return score
    spec = plan.spec.model_copy(
        update={
            "metrics": {**plan.spec.metrics, **figures},
            "provenance": {
                **plan.spec.provenance,
                "trained_on": _trained_on(plan.labelled),
                "samples_shown": str(run.shown),
                "steps": str(run.step),
                "minutes": f"{run.elapsed_s / 60:.1f}",
                "cores": str(os.cpu_count()),
                "seed": str(plan.seed),
                "torch": torch.__version__,
                "numpy": np.__version__,
                "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            },
        }
    )
    save_atomically(plan.out / CHECKPOINT, {"state_dict": run.average.state})
    text = yaml.safe_dump(spec.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    write_atomically(plan.out / SPEC, text.encode())
    return score
