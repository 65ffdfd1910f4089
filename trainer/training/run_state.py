"""A run of ``trainer train``: its plan, the state that it goes on from after a kill, and what it publishes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar

import torch
import yaml
from torch import nn

from sixpoint.model_spec.spec import ModelSpec
from trainer.data.atomic_files import write_atomically
from trainer.data.experiment import check_identity
from trainer.training.checkpoint import save_atomically
from trainer.training.curves import draw_curves
from trainer.training.weight_average import WeightAverage

__all__ = ["CHECKPOINT", "SPEC", "ComputePrecision", "RunState", "TrainConfig", "TrainProgress"]

CHECKPOINT = "checkpoint.pt"
"""The best averaged weights so far: ``{"state_dict": ...}``."""
SPEC = "spec.yaml"
"""The spec beside it, with measured figures and provenance."""
_LAST = "last.pt"


class ComputePrecision(StrEnum):
    """What a network computes in, in Lightning's words."""

    MIXED = "bf16-mixed"
    SINGLE = "32-true"


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How to train.

    Attributes:
        data: Folder of the dataset.
        out: Folder of the run.
        template: A segmentation spec as a YAML reader returns it, perhaps incomplete.
        init: Checkpoint to start from; tensors that do not fit (another number of labels) start at random.
        held_out: File with the names of the cases to hold out, in place of a draw.
        fraction: Share of the cases to hold out.
        steps: Budget of steps.
        minutes: Budget of training time, earlier parts of a resumed run included.
        batch: Patches per step and process.
        rate: Peak learning rate.
        seed: Of everything.
        mirror: Whether to swap left and right in half of the patches.
        every: Steps between validations.
        patience: Validations without a better one after which the run ends.
        save_s: Seconds between saves.
        threads: Threads of the network on a CPU.
        workers: Processes that make batches, 0: none.
        precision: What the network computes in; None: what the device does best.
        devices: GPUs to use, or ``auto`` for all; without one there is the CPU.
        licence: Of the data, where the dataset does not say it.
    """

    data: Path
    out: Path
    template: Mapping[str, Any]
    init: Path | None = None
    held_out: Path | None = None
    held_out_fraction: float = 0.2
    steps: int = 4000
    minutes: float = math.inf
    batch_size: int = 2
    learning_rate: float = 2e-3
    seed: int = 1
    mirror: bool = False
    validation_interval: int = 400
    patience: int = 10
    save_interval_s: float = 60.0
    threads: int = 2
    workers: int = 1
    precision: ComputePrecision | None = None
    devices: str = "auto"
    licence: str = ""


@dataclass(frozen=True)
class TrainProgress:
    """Where a run stands.

    Attributes:
        phase: What it does: ``reading``, ``preparing``, ``training``.
        share: Part of that which is done, 0 to 1.
        step: Steps taken.
        loss: Running mean of the loss.
        dice: Of the last validation: ``dice``, the mean over the labels, and ``dice_...`` of each.
    """

    stage: str
    fraction: float
    step: int = 0
    loss: float = math.nan
    dice: Mapping[str, float] = field(default_factory=dict)


@dataclass
class RunState:
    """The moving parts: everything that ``last.pt`` holds.

    Attributes:
        network: What is trained.
        optimiser: Of its weights.
        average: Of its weights: what is validated and published.
        identity: What must be as it was when a run goes on, by what to call it.
        step: Steps taken.
        elapsed_s: Seconds of training, earlier parts included.
        loss: Running mean.
        best: The best mean Dice of a validation so far.
        stale: Validations since.
        history: One entry per validation.
    """

    network: nn.Module
    optimiser: torch.optim.Optimizer
    average: WeightAverage
    identity: Mapping[str, Any]
    step: int = 0
    elapsed_s: float = 0.0
    loss: float = math.nan
    best: float = -1.0
    stale: int = 0
    history: list[dict[str, float]] = field(default_factory=list)

    counters: ClassVar = ("step", "elapsed_s", "loss", "best", "stale")

    def budget_spent(self, plan: TrainConfig) -> float:
        """The part of the budget that is spent; 1 when patience is."""
        if self.stale >= plan.patience:
            return 1.0
        return min(1.0, max(self.elapsed_s / (60.0 * plan.minutes), self.step / plan.steps))

    def dice(self) -> dict[str, float]:
        """The Dice figures of the last validation; empty before the first."""
        return {name: value for name, value in (self.history or [{}])[-1].items() if name.startswith("dice")}

    def save(self, out: Path) -> None:
        """Write ``last.pt``, whole or not at all."""
        save_atomically(
            out / _LAST,
            {
                "network": self.network.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "average": self.average.state,
                "identity": dict(self.identity),
                "counters": {name: getattr(self, name) for name in self.counters},
                "history": self.history,
            },
        )

    def resume(self, out: Path, *, device: torch.device) -> None:
        """Go on from ``last.pt``, if there is one.

        Raises:
            FailedPrecondition: It is of another run.
        """
        if not (out / _LAST).exists():
            return
        state: dict[str, Any] = torch.load(out / _LAST, map_location=device, weights_only=True)
        check_identity(state["identity"], self.identity, out=out)
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.average.state = state["average"]
        for name in self.counters:
            setattr(self, name, state["counters"][name])
        self.history = list(state["history"])

    def record_validation(self, figures: Mapping[str, float]) -> bool:
        """Take a validation's figures into account; returns whether they are the best so far."""
        better = figures["dice"] > self.best
        self.best, self.stale = (figures["dice"], 0) if better else (self.best, self.stale + 1)
        minutes = round(self.elapsed_s / 60, 2)
        rounded = {name: round(value, 4) for name, value in figures.items()}
        self.history.append({"step": self.step, "minutes": minutes, "loss": round(self.loss, 4), **rounded})
        return better

    def publish(self, out: Path, spec: ModelSpec, *, provenance: Mapping[str, str]) -> None:
        """Write the averaged weights and their spec, with the figures of the last validation."""
        weights = {name: value.cpu() for name, value in self.average.state.items()}
        save_atomically(out / CHECKPOINT, {"state_dict": weights})
        changes = {"metrics": self.dice(), "provenance": {**spec.provenance, **provenance}}
        text = yaml.safe_dump(
            spec.model_copy(update=changes).model_dump(mode="json"), sort_keys=False, allow_unicode=True
        )
        write_atomically(out / SPEC, text.encode())

    def write_history(self, out: Path) -> None:
        """Write the history as ``metrics.json`` and ``curves.png``."""
        write_atomically(out / "metrics.json", json.dumps(self.history, indent=1).encode())
        draw_curves(self.history, out / "curves.png")
