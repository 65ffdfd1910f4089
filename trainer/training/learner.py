"""The annotation network in training: weights, optimiser, averaged weights, and the state that outlives the process."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from monai.losses.dice import DiceCELoss
from torch import nn

from sixpoint.model_spec import ModelSpec
from trainer.data.experiment import check_identity
from trainer.training.checkpoint import save_atomically
from trainer.training.network import build_network
from trainer.training.weight_average import WeightAverage

__all__ = ["FORMAT", "Learner", "check_same_run", "overshoot_loss", "read_samples_seen"]

FORMAT = torch.channels_last_3d
"""Memory layout of tensors: the fastest for 3D convolutions."""
_LOSS = DiceCELoss(sigmoid=True)
_MIN_CELLS = 50
"""Cells of the object that the overshoot is related to at least: thin objects have few on a coarse grid."""
_CLICK_WEIGHT = 0.5
"""Weight of the cross-entropy near clicked errors, added to the loss of the whole ROI."""


@dataclass
class Learner:
    """A network in training, with everything that ``last.pt`` stores.

    Attributes:
        network: Network in training, on ``device``.
        optimiser: Optimiser of its weights.
        average: Moving average of its weights: what is published.
        scaler: Gradient scaler that skips steps with non-finite gradients. bfloat16 needs no scaling itself.
        device: Device that it computes on.
        bfloat16: Whether it computes in bfloat16 where that is safe.
        forward: The network, or its compiled form.
        identity: What must not change when the run is resumed, by the name used in errors.
        step: Number of steps taken.
        samples_seen: Number of samples trained on.
        elapsed_s: Seconds of the run, with set-up, validation and the earlier parts of a resumed run.
        loss: Running mean of the loss.
        history: Step, samples, minutes and figures of each validation.
    """

    network: nn.Module
    optimiser: torch.optim.Optimizer
    average: WeightAverage
    scaler: torch.amp.GradScaler
    device: torch.device
    bfloat16: bool
    forward: Callable[[torch.Tensor], torch.Tensor]
    identity: Mapping[str, Any]
    step: int = 0
    samples_seen: int = 0
    elapsed_s: float = 0.0
    loss: float = math.nan
    history: list[dict[str, float]] = field(default_factory=list)

    @classmethod
    def create(
        cls,
        network: nn.Module,
        *,
        device: torch.device,
        bfloat16: bool,
        compiled: bool,
        identity: Mapping[str, Any],
    ) -> Learner:
        """Prepare a network for its first step.

        Args:
            network: Network with the weights to start from.
            device: Device to compute on.
            bfloat16: Whether to compute in bfloat16 where that is safe.
            compiled: Whether to compile the network with ``torch.compile``.
            identity: What must not change when the run is resumed, by the name used in errors.
        """
        network = network.to(device, memory_format=FORMAT)  # type: ignore[call-overload]
        return cls(
            network=network,
            optimiser=torch.optim.AdamW(network.parameters(), weight_decay=1e-4, fused=True),
            average=WeightAverage(network),
            scaler=torch.amp.GradScaler(device.type, init_scale=1.0, growth_interval=1_000_000_000),
            device=device,
            bfloat16=bfloat16,
            forward=torch.compile(network, dynamic=False) if compiled else network,
            identity=identity,
        )

    def train_step(
        self,
        channels: torch.Tensor,
        target: torch.Tensor,
        click_region: torch.Tensor | None,
        *,
        learning_rate: float,
        previous: torch.Tensor | None = None,
        overshoot_weight: float = 0.0,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Take one training step.

        Args:
            channels: Network input, [batch, channel, z, y, x].
            target: Fraction of each cell that the object fills, [batch, 1, z, y, x].
            click_region: Cells near clicked errors, bool [batch, 1, z, y, x]; None without clicks.
            learning_rate: Learning rate of this step.
            previous: Logits of the answer that the clicks correct, [batch, 1, z, y, x]; None without clicks.
            overshoot_weight: Weight of cells that ``previous`` has right and the network now has wrong.

        Returns:
            Logits [batch, 1, z, y, x] and loss of the batch. A GPU may still be computing both.
        """
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate
        self.network.train()
        channels = channels.contiguous(memory_format=FORMAT)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            logits = self.forward(channels).float()
        loss: torch.Tensor = _LOSS(logits, target)
        if click_region is not None:
            loss = loss + _CLICK_WEIGHT * _click_loss(logits, target, click_region)
        if previous is not None and overshoot_weight:
            loss = loss + overshoot_weight * overshoot_loss(logits, target, previous)
        self.optimiser.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self.scaler.unscale_(self.optimiser)
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        # The scaler skips a step whose gradients are not finite: one bad batch must not end a run of hours.
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.average.update(self.network, self.step)
        self.step += 1
        return logits.detach(), loss.detach()

    def averaged_network(self, spec: ModelSpec) -> nn.Module:
        """Build the spec's network with the averaged weights."""
        network: nn.Module = build_network(spec).to(self.device, memory_format=FORMAT)  # type: ignore[call-overload]
        network.load_state_dict(self.average.state)
        return network

    def save(self, path: Path) -> None:
        """Write the state to a file, whole or not at all."""
        counters = {"step": self.step, "shown": self.samples_seen, "elapsed_s": self.elapsed_s, "loss": self.loss}
        save_atomically(
            path,
            {
                "network": self.network.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "average": self.average.state,
                "identity": dict(self.identity),
                "counters": counters,
                "history": self.history,
            },
        )

    def load(self, path: Path) -> None:
        """Read a state that was saved on any device."""
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.average.load(state["average"])
        self.step, self.samples_seen = int(state["counters"]["step"]), int(state["counters"]["shown"])
        self.elapsed_s, self.loss = float(state["counters"]["elapsed_s"]), float(state["counters"]["loss"])
        self.history = list(state["history"])


def check_same_run(path: Path, identity: Mapping[str, Any]) -> None:
    """Check that a file written by :meth:`Learner.save`, if it exists, is of the run to resume.

    Runs of versions that stored no identity are accepted.

    Raises:
        FailedPrecondition: The file is of another run. The error names the difference.
    """
    if path.exists():
        state: dict[str, Any] = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
        check_identity(state.get("identity", {}), identity, out=path.parent)


def read_samples_seen(path: Path) -> int:
    """Read the number of samples trained on from a file written by :meth:`Learner.save`; 0 without a file."""
    if not path.exists():
        return 0
    return int(torch.load(path, map_location="cpu", weights_only=True)["counters"]["shown"])


def _click_loss(logits: torch.Tensor, target: torch.Tensor, click_region: torch.Tensor) -> torch.Tensor:
    """Compute the cross-entropy near clicked errors, averaged per sample first: small errors count as much as large."""
    entropy = nn.functional.binary_cross_entropy_with_logits(logits, target, reduction="none") * click_region
    return (entropy.flatten(1).sum(1) / click_region.flatten(1).sum(1).clamp(min=1)).mean()


def overshoot_loss(logits: torch.Tensor, target: torch.Tensor, previous: torch.Tensor) -> torch.Tensor:
    """Compute the cross-entropy of cells that were right before and are wrong now, per cell of the object.

    Args:
        logits: New answer, [batch, 1, z, y, x].
        target: Fraction of each cell that the object fills, [batch, 1, z, y, x].
        previous: Logits of the answer before the click, [batch, 1, z, y, x].
    """
    whole = target > 0.5
    spoilt = ((previous > 0) == whole) & ((logits > 0) != whole)
    entropy = nn.functional.binary_cross_entropy_with_logits(logits, target, reduction="none") * spoilt
    return (entropy.flatten(1).sum(1) / whole.flatten(1).sum(1).clamp(min=_MIN_CELLS)).mean()
