"""A network that learns: its weights, its optimiser, their average, and what outlives a kill."""

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

__all__ = ["FORMAT", "Learner", "check_same_run", "read_samples_seen"]

FORMAT = torch.channels_last_3d
"""How tensors lie in memory: what 3D convolutions read best."""
_LOSS = DiceCELoss(sigmoid=True)
_CLICKED = 0.5
"""Weight of the cross-entropy round the errors that were clicked, beside the loss of the whole: obey, and no more."""


@dataclass
class Learner:
    """The moving parts of a run: everything that a checkpoint holds.

    Attributes:
        network: What learns, on ``device``.
        optimiser: Of its weights.
        average: Of its weights, over the last steps: what is published.
        scaler: Notices gradients that are not finite; bfloat16 needs no scaling.
        device: Where it computes.
        bfloat16: Whether it computes in bfloat16 where that is safe.
        forward: The network, or what ``torch.compile`` made of it.
        identity: What must be as it was when a run goes on, by what to call it.
        step: Steps taken.
        shown: Samples shown.
        elapsed_s: Seconds of training, earlier parts of a resumed run included.
        loss: Running mean of the loss.
        history: Of each validation: step, samples, minutes, figures.
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
        """One that has not learnt yet.

        Args:
            network: With the weights that it starts from.
            device: Where to compute.
            bfloat16: Whether to compute in bfloat16 where that is safe.
            compiled: Whether to let ``torch.compile`` speed the network up.
            identity: What must be as it was when the run goes on, by what to call it.
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
        self, channels: torch.Tensor, target: torch.Tensor, click_region: torch.Tensor | None, *, learning_rate: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """One step.

        Args:
            channels: What the network sees, [batch, channel, z, y, x].
            target: Share of each cell that the object fills, [batch, 1, z, y, x].
            clicked: Where clicks ask for a change, likewise; None when there are none.
            rate: The learning rate.

        Returns:
            The batch's logits [batch, 1, z, y, x], and its loss, both of which a GPU may still be at work on.
        """
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate
        self.network.train()
        channels = channels.contiguous(memory_format=FORMAT)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            logits = self.forward(channels).float()
        loss: torch.Tensor = _LOSS(logits, target)
        if click_region is not None:
            loss = loss + _CLICKED * _clicked_loss(logits, target, click_region)
        self.optimiser.zero_grad(set_to_none=True)
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self.scaler.unscale_(self.optimiser)
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        # It leaves out a step whose gradients are not finite: one bad batch must not end a run of hours.
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.average.update(self.network, self.step)
        self.step += 1
        return logits.detach(), loss.detach()

    def averaged_network(self, spec: ModelSpec) -> nn.Module:
        """The network with the averaged weights."""
        network: nn.Module = build_network(spec).to(self.device, memory_format=FORMAT)  # type: ignore[call-overload]
        network.load_state_dict(self.average.state)
        return network

    def save(self, path: Path) -> None:
        """Write everything, whole or not at all."""
        save_atomically(
            path,
            {
                "network": self.network.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "average": self.average.state,
                "identity": dict(self.identity),
                "counters": {
                    "step": self.step,
                    "shown": self.samples_seen,
                    "elapsed_s": self.elapsed_s,
                    "loss": self.loss,
                },
                "history": self.history,
            },
        )

    def load(self, path: Path) -> None:
        """Go on from what was saved, on whatever device that was."""
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.average.load(state["average"])
        self.step, self.samples_seen = int(state["counters"]["step"]), int(state["counters"]["shown"])
        self.elapsed_s, self.loss = float(state["counters"]["elapsed_s"]), float(state["counters"]["loss"])
        self.history = list(state["history"])


def check_same_run(path: Path, identity: Mapping[str, Any]) -> None:
    """Refuse to go on with what :meth:`Learner.save` wrote of another run; a run that kept no identity may be any.

    Raises:
        FailedPrecondition: Naming what differs.
    """
    if path.exists():
        state: dict[str, Any] = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
        check_identity(state.get("identity", {}), identity, out=path.parent)


def read_samples_seen(path: Path) -> int:
    """Samples that the run whose :meth:`Learner.save` wrote a file has shown; 0 where there is none."""
    if not path.exists():
        return 0
    return int(torch.load(path, map_location="cpu", weights_only=True)["counters"]["shown"])


def _clicked_loss(logits: torch.Tensor, target: torch.Tensor, clicked: torch.Tensor) -> torch.Tensor:
    """Cross-entropy round the clicked errors, the mean over samples: a small error counts as much as a large one."""
    entropy = nn.functional.binary_cross_entropy_with_logits(logits, target, reduction="none") * clicked
    return (entropy.flatten(1).sum(1) / clicked.flatten(1).sum(1).clamp(min=1)).mean()
