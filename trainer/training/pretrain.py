"""Synthetic pre-training: the loop, its schedule, its checkpoints and what it publishes."""

from __future__ import annotations

import json
import math
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import nn

from sixpoint.errors import InvalidArgument
from sixpoint.model_spec.spec import ModelSpec
from trainer.data.atomic_files import write_atomically
from trainer.data.crop_pool import SCENE_EDGE
from trainer.data.dataloader import Batch, BatchStream, LabelledCases, iterate_batches
from trainer.data.spec_files import read_spec
from trainer.simulation import gpu_clicks
from trainer.simulation.interaction_rounds import Correction, InteractionChannels, find_corrections
from trainer.data.batch_reuse import reuse_batches
from trainer.training.checkpoint import read_weights, save_atomically
from trainer.training.learner import Learner, check_same_run, read_samples_seen
from trainer.training.network import build_network
from trainer.training.validation import ValidationScore, ValidationSet, validate
from trainer.training.warm_start import adapt_weights, load_matching

__all__ = ["CHECKPOINT", "SPEC", "PretrainConfig", "PretrainProgress", "check_folder", "pretrain"]

CHECKPOINT = "checkpoint.pt"
"""What is published: ``{"state_dict": averaged weights}``."""
SPEC = "spec.yaml"
"""The spec beside it, with measured figures and provenance."""
MAX_ROUNDS = 6
"""The first answer and five corrections."""
_LAST = "last.pt"
_LOOK_EVERY = 20
"""Steps from one look at the loss to the next."""
_LOOK_WEIGHT = 0.1
"""Of the last look, in the running mean."""
_TABLES = 2
"""Batches at hand at once beside a GPU: while one is corrected, it learns from the other."""
_USES = 2
"""How often a sample is shown beside a GPU: 15 cores then keep up with an H100."""
_WARM_UP_STEPS = 150


class Device(StrEnum):
    """Where a network computes."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


@dataclass(frozen=True)
class PretrainConfig:
    """How to train.

    Attributes:
        spec: The network, its ROI and its channels.
        out: Folder of the run: checkpoints, metrics.
        minutes: Budget of training time, earlier parts of a resumed run included; the learning rate follows it.
        steps: Budget of steps; training ends with whichever budget is spent first.
        rate: Peak learning rate.
        seed: Of everything.
        reuse: How often a crop is shown, on average.
        lead: Crops to mix, once there are so many.
        sizes: (edge of the ROI's grid, samples in a batch).
        odds: Probabilities of ``sizes``.
        threads: Threads of the network.
        workers: Processes that make batches. 0: this one makes them; None: one, or, beside a GPU, as many as there are
            cores left.
        uses: How often a sample is shown, turned and mirrored; None: once, or, beside a GPU, twice.
        device: Where the network computes.
        bfloat16: Whether to compute in bfloat16 where that is safe: on a GPU always; quicker on processors with AMX, slower
            on others.
        validation_scenes: Scenes that the validation set is drawn from.
        scene_edge: Voxels of a scene along each axis.
        every_s: Seconds between checkpoints; a validation comes with every fifth.
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
    learning_rate: float = 1.5e-3
    seed: int = 1
    crop_uses: float = 1.5
    pool_size: int = 2000
    sizes: tuple[tuple[int, int], ...] = ((48, 8), (64, 4))
    size_probabilities: tuple[float, ...] = (0.65, 0.35)
    threads: int = 2
    workers: int | None = None
    batch_uses: int | None = None
    device: Device = Device.AUTO
    bfloat16: bool = False
    validation_scenes: int = 6
    scene_edge: int = SCENE_EDGE
    save_interval_s: float = 120.0
    init: Path | None = None
    labelled: LabelledCases = field(default_factory=LabelledCases)
    held_out: LabelledCases = field(default_factory=LabelledCases)
    click_probability: float = 0.65
    compiled: bool = False


@dataclass(frozen=True)
class PretrainProgress:
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
    samples_seen: int
    elapsed_s: float
    fraction: float
    loss: float
    score: ValidationScore | None


def check_folder(plan: PretrainConfig) -> None:
    """Look whether the plan's folder holds a run that the plan can go on with, or none.

    Raises:
        FailedPrecondition: It holds one of another network, or of other images; another budget is no other run.
    """
    check_same_run(plan.out / _LAST, _identity(plan))


def pretrain(plan: PretrainConfig, *, report: Callable[[PretrainProgress], None] = lambda _: None) -> Path:
    """Train until the budget is spent, going on from the folder's last checkpoint if there is one.

    Args:
        plan: What to do.
        report: Called after every step.

    Returns:
        The published checkpoint; its spec lies beside it.

    Raises:
        FailedPrecondition: The folder holds another run.
    """
    check_folder(plan)
    # The writer is slow to import, and only training needs it.
    from torch.utils.tensorboard import SummaryWriter

    plan.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(plan.threads)
    torch.manual_seed(plan.seed)
    device = _device(plan.device)
    bfloat16 = plan.bfloat16 or device.type == "cuda"
    feed = BatchStream(
        spec=plan.spec,
        seed=plan.seed,
        samples_seen=read_samples_seen(plan.out / _LAST),
        sizes=plan.sizes,
        size_probabilities=plan.size_probabilities,
        bfloat16=bfloat16,
        crop_uses=plan.crop_uses,
        pool_size=plan.pool_size,
        scene_edge=plan.scene_edge,
        labelled=plan.labelled,
    )
    stream = iterate_batches(feed, workers=_workers(plan, device), pinned=device.type == "cuda")
    run = Learner.create(
        _network(plan), device=device, bfloat16=bfloat16, compiled=plan.compiled, identity=_identity(plan)
    )
    if (plan.out / _LAST).exists():
        run.load(plan.out / _LAST)
    writer = SummaryWriter(plan.out / "tensorboard", purge_step=run.step)
    try:
        _loop(plan, run, stream, _holdout(plan), writer, report)
    finally:
        writer.close()
    return plan.out / CHECKPOINT


def _identity(plan: PretrainConfig) -> Mapping[str, Any]:
    """What a run cannot go on with when it changes, by what to call it."""
    spec = plan.spec.model_dump(mode="json")
    return {
        "network": spec["network"],
        "region of interest": spec["roi"],
        "input": spec["input"],
        "seed": plan.seed,
        "set of images to learn from": [case.name for case in plan.labelled.cases],
        "set of images to hold out": [case.name for case in plan.held_out.cases],
        "share of labelled images": plan.labelled.fraction,
    }


def _holdout(plan: PretrainConfig) -> ValidationSet:
    if plan.held_out.cases:
        return ValidationSet.from_crops(plan.held_out.crops(), plan.spec, rng=np.random.default_rng(plan.seed + 1))
    return ValidationSet.draw(plan.spec, seed=plan.seed + 1, scenes=plan.validation_scenes, edge=plan.scene_edge)


def _device(wanted: Device) -> torch.device:
    if wanted is Device.AUTO:
        wanted = Device.CUDA if torch.cuda.is_available() else Device.CPU
    if wanted is Device.CUDA and not torch.cuda.is_available():
        raise InvalidArgument("there is no GPU that PyTorch can use; compute on the CPU, or install PyTorch for CUDA")
    return torch.device(wanted.value)


def _workers(plan: PretrainConfig, device: torch.device) -> int:
    """Processes that make batches."""
    if plan.workers is not None:
        return plan.workers
    return max(1, (os.cpu_count() or 1) - 1) if device.type == "cuda" else 1


def _network(plan: PretrainConfig) -> nn.Module:
    """The network with the weights that the plan starts from."""
    network = build_network(plan.spec)
    if plan.init is not None:
        state, beside = read_weights(plan.init), plan.init.with_name(SPEC)
        if not beside.exists():
            raise InvalidArgument(f"{plan.init} has no {SPEC} beside it, which says what its channels are")
        load_matching(network, adapt_weights(state, old=read_spec(beside), new=plan.spec), source=plan.init)
    return network


@dataclass
class _Table:
    """A batch that the network learns from for some rounds.

    Attributes:
        channels: What the network sees, [batch, channel, z, y, x].
        target: Share of each cell that the object fills, [batch, 1, z, y, x].
        logits: What it answered last, likewise.
        rounds: How often it did.
        corrections: Waits for the next clicks; None when there will be none, and the next batch's turn has come.
    """

    channels: torch.Tensor = field(default_factory=lambda: torch.empty(0))
    target: torch.Tensor = field(default_factory=lambda: torch.empty(0))
    logits: torch.Tensor = field(default_factory=lambda: torch.empty(0))
    rounds: int = 0
    corrections: Callable[[], list[Correction | None]] | None = None


def _loop(
    plan: PretrainConfig,
    run: Learner,
    stream: Iterator[Batch],
    holdout: ValidationSet,
    writer: Any,
    report: Callable[[PretrainProgress], None],
) -> None:
    rounds = InteractionChannels.from_spec(plan.spec)
    rng = np.random.default_rng((plan.seed, run.step, 2))
    beside_gpu = run.device.type == "cuda"
    uses = plan.batch_uses or (_USES if beside_gpu else 1)
    shown = reuse_batches(stream, device=run.device, uses=uses, rng=np.random.default_rng((plan.seed, run.step, 3)))
    tables = deque(_Table() for _ in range(_TABLES if beside_gpu else 1))
    look_at = gpu_clicks.find_corrections if beside_gpu else find_corrections
    before, started = run.elapsed_s, time.monotonic()
    saved, saves, score = started, 0, None
    while (share := _share(plan, run)) < 1.0:
        table = tables.popleft()
        clicked = None
        if rounds is not None and table.corrections is not None:
            clicked = rounds.write_corrections(table.channels, table.logits, table.corrections())
        else:
            table.channels, table.target = next(shown)
            table.rounds = 0
            run.samples_seen += len(table.target)
        rate = _rate(plan, run.step, share)
        table.logits, loss = run.train_step(table.channels, table.target, clicked, learning_rate=rate)
        table.rounds += 1
        again = rounds is not None and table.rounds < MAX_ROUNDS and rng.random() < plan.click_probability
        table.corrections = look_at(rng, table.target, table.logits) if again else None
        tables.append(table)
        run.elapsed_s = before + time.monotonic() - started
        # Reading it waits for the GPU.
        due = run.step % _LOOK_EVERY == 0 or math.isnan(run.loss)
        if due and math.isfinite(value := float(loss)):
            run.loss = value if math.isnan(run.loss) else run.loss + _LOOK_WEIGHT * (value - run.loss)
            writer.add_scalar("loss", value, run.step)
            writer.add_scalar("rate", rate, run.step)
        report(PretrainProgress(run.step, run.samples_seen, run.elapsed_s, share, run.loss, score))
        if time.monotonic() - saved >= plan.save_interval_s:
            saves += 1
            if saves % 5 == 0:
                score = _publish(plan, run, holdout, writer)
            run.save(plan.out / _LAST)
            saved = time.monotonic()
    score = _publish(plan, run, holdout, writer)
    run.save(plan.out / _LAST)
    report(PretrainProgress(run.step, run.samples_seen, run.elapsed_s, 1.0, run.loss, score))


def _trained_on(labelled: LabelledCases) -> str:
    if not labelled.cases:
        return "synthetic scenes only"
    if labelled.fraction >= 1.0:
        return f"{len(labelled.cases)} labelled images"
    return f"synthetic scenes, and {labelled.fraction:.0%} crops of {len(labelled.cases)} labelled images"


def _described(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


def _share(plan: PretrainConfig, run: Learner) -> float:
    return min(1.0, max(run.elapsed_s / (60.0 * plan.minutes), run.step / plan.steps))


def _rate(plan: PretrainConfig, step: int, share: float) -> float:
    """The learning rate: a linear warm-up, then a cosine over the budget, down to a hundredth."""
    return (
        plan.learning_rate * min(1.0, (step + 1) / _WARM_UP_STEPS) * (0.01 + 0.99 * (1 + math.cos(math.pi * share)) / 2)
    )


def _publish(plan: PretrainConfig, run: Learner, holdout: ValidationSet, writer: Any) -> ValidationScore:
    """Validate the averaged weights, then write checkpoint, spec and metrics."""
    score = validate(
        run.averaged_network(plan.spec), holdout, rounds=InteractionChannels.from_spec(plan.spec), bfloat16=run.bfloat16
    )
    real = bool(plan.held_out.cases)
    figures = score.figures("") if real else score.figures()
    writer.add_scalar("dice" if real else "synthetic/dice", score.dice, run.step)
    best = not real or all(figures["dice"] > entry["dice"] for entry in run.history)
    counters = {"step": run.step, "shown": run.samples_seen, "minutes": round(run.elapsed_s / 60, 2), "loss": run.loss}
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
                "samples_shown": str(run.samples_seen),
                "steps": str(run.step),
                "minutes": f"{run.elapsed_s / 60:.1f}",
                "device": _described(run.device),
                "cores": str(os.cpu_count()),
                "seed": str(plan.seed),
                "trained_with": f"torch {torch.__version__}, numpy {np.__version__}",
                "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            },
        }
    )
    save_atomically(plan.out / CHECKPOINT, {"state_dict": {k: v.cpu() for k, v in run.average.state.items()}})
    text = yaml.safe_dump(spec.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    write_atomically(plan.out / SPEC, text.encode())
    return score
