"""Exponential moving average of a network's weights."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["WeightAverage"]


class WeightAverage:
    """Exponential moving average of a network's state: what is validated and published.

    Args:
        network: Network whose state to follow.
        decay: Weight of the past. Smaller in the first steps, so that the random start is soon forgotten.
    """

    def __init__(self, network: nn.Module, *, decay: float = 0.998) -> None:
        self.decay = decay
        self.state = {name: value.detach().clone() for name, value in network.state_dict().items()}

    def load(self, state: dict[str, torch.Tensor]) -> None:
        """Copy a saved state, from any device."""
        for name, average in self.state.items():
            average.copy_(state[name])

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Move the average towards the state of the network after its ``step``-th step."""
        weight = 1.0 - min(self.decay, (1.0 + step) / (10.0 + step))
        now = network.state_dict()
        floating = [name for name, average in self.state.items() if average.is_floating_point()]
        torch._foreach_lerp_([self.state[name] for name in floating], [now[name] for name in floating], weight)
        for name in self.state.keys() - floating:
            self.state[name].copy_(now[name])
