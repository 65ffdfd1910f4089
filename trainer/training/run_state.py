"""State of a segmentation training run: what it resumes from after a kill, and what it publishes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sixpoint.io.atomic_files import write_file
from sixpoint.model_spec import SegmentationSpec
from trainer.data.experiment import check_identity
from trainer.training.checkpoint import publish, save_atomically
from trainer.training.config import TrainConfig
from trainer.training.curves import draw_curves
from trainer.training.weight_average import WeightAverage

__all__ = ["RunState"]

_LAST = "last.pt"
# Attributes of RunState, and keys of last.pt.
_COUNTERS = ("step", "elapsed_s", "loss", "best", "stale")


@dataclass
class RunState:
    """Everything that ``last.pt`` stores.

    Attributes:
        network: Network in training.
        optimiser: Optimiser of its weights.
        average: Moving average of its weights: what is validated and published.
        identity: What must not change when the run is resumed, by the name used in errors.
        step: Number of steps taken.
        elapsed_s: Seconds of the run, with set-up, validation and the earlier parts of a resumed run.
        loss: Running mean of the loss.
        best: Best mean Dice of a validation.
        stale: Number of validations since the best one.
        history: Step, minutes, loss and figures of each validation. Step 0, which has no loss, is the model that the
            run is to be better than.
        reserve_s: Seconds that the last validation of the run will take, kept free for it. Not stored.
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
    reserve_s: float = 0.0

    def budget_spent(self, config: TrainConfig) -> float:
        """Compute the spent part of the budget, 0 to 1; 1 when the patience is spent."""
        if self.stale >= config.patience:
            return 1.0
        spent = (self.elapsed_s + self.reserve_s) / (60.0 * config.minutes)
        return min(1.0, max(spent, self.step / config.steps))

    def is_validated(self) -> bool:
        """Whether the weights of the last step have been validated."""
        return bool(self.history) and self.history[-1]["step"] == self.step > 0

    def dice(self) -> dict[str, float]:
        """Return the Dice figures of the last validation; empty before the first."""
        last = self.history[-1] if self.history else {}
        return {name: value for name, value in last.items() if name.startswith("dice") and last["step"]}

    def save(self, out: Path) -> None:
        """Write ``last.pt``, whole or not at all."""
        save_atomically(
            out / _LAST,
            {
                "network": self.network.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "average": self.average.state,
                "identity": dict(self.identity),
                "counters": {name: getattr(self, name) for name in _COUNTERS},
                "history": self.history,
            },
        )

    def resume(self, out: Path, *, device: torch.device) -> None:
        """Read ``last.pt``, if it exists.

        Raises:
            FailedPrecondition: The file is of another run.
        """
        if not (out / _LAST).exists():
            return
        state: dict[str, Any] = torch.load(out / _LAST, map_location=device, weights_only=True)
        check_identity(state["identity"], self.identity, out=out)
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.average.state = state["average"]
        for name in _COUNTERS:
            setattr(self, name, state["counters"][name])
        self.history = list(state["history"])

    def record_reference(self, figures: Mapping[str, float]) -> None:
        """Begin the history with the figures of the model that the run is to be better than."""
        rounded = {name: round(value, 4) for name, value in figures.items()}
        self.history = [{"step": 0, "minutes": round(self.elapsed_s / 60, 2), **rounded}]

    def record_validation(self, figures: Mapping[str, float]) -> bool:
        """Add the figures of a validation to the history; return whether they are the best so far."""
        better = figures["dice"] > self.best
        self.best, self.stale = (figures["dice"], 0) if better else (self.best, self.stale + 1)
        minutes = round(self.elapsed_s / 60, 2)
        rounded = {name: round(value, 4) for name, value in figures.items()}
        self.history.append({"step": self.step, "minutes": minutes, "loss": round(self.loss, 4), **rounded})
        return better

    def publish(self, out: Path, spec: SegmentationSpec) -> None:
        """Write the averaged weights and their spec, with the figures of the last validation."""
        publish(out, self.average.state, spec.model_copy(update={"metrics": self.dice()}))

    def write_history(self, out: Path) -> None:
        """Write the history as ``metrics.json`` and ``curves.png``."""
        write_file(out / "metrics.json", json.dumps(self.history, indent=1).encode())
        draw_curves(self.history, out / "curves.png")
