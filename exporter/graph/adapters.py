"""Adapters between a network and the model's tensors: types, axes, intensity scale and activation.

They become part of the exported graph, so that no caller has to convert anything.
"""

from __future__ import annotations

import torch
from torch import nn

from sixpoint.model_spec import ModelSpec, NetworkSpec

__all__ = ["InputAdapter", "OutputAdapter", "network_shape"]

_DEFAULTS = NetworkSpec(name="")
_CANONICAL = "SPL"
_OPPOSITE = {"R": "L", "A": "P", "I": "S"}
_IDENTITY = (0, 1, 2, 3, 4)
_MIN_LOGIT = -60000.0
"""Smallest logit, counted from the largest: float16 ends at -65504."""


class InputAdapter(nn.Module):
    """Convert the model's input [batch, channel, z, y, x] to the network's input: float32, in the network's axes.

    Args:
        spec: Description of the model; its ``network`` gives the axes, scale and offset.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        network = spec.network or _DEFAULTS
        self.order, self.flipped = _axis_order(network.axes)
        self.scale: torch.Tensor
        self.offset: torch.Tensor
        self.scaled = any(factor != 1 for factor in network.scale) or any(network.offset)
        if self.scaled:
            self.register_buffer("scale", _per_channel(network.scale or (1.0,)))
            self.register_buffer("offset", _per_channel(network.offset or (0.0,)))

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        """Return the network's input for the model's input ``value``."""
        value = value.to(torch.float32)
        if self.scaled:
            value = value * self.scale + self.offset
        if self.order != _IDENTITY:
            value = value.permute(self.order)
        return value.flip(self.flipped) if self.flipped else value


class OutputAdapter(nn.Module):
    """Convert the network's output, in its own axes, to the model's: probabilities or logits [batch, label, z, y, x].

    Args:
        spec: Description of the model; gives the axes, activation, channels and output type.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        network = spec.network or _DEFAULTS
        order, self.flipped = _axis_order(network.axes)
        self.order = tuple(order.index(axis) for axis in range(5))
        self.activation: str = spec.activation
        if spec.patch is not None and spec.patch.average == "logits":
            # Shifted so that the largest is 0, which changes no label: nearly equal ones are where float16 is finest.
            self.activation = "from_largest" if spec.output.exclusive and spec.activation != "sigmoid" else "none"
        self.channels = network.channels
        self.dtype = spec.output.dtype

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        """Return the model's output for the network's output ``value``."""
        if self.activation == "softmax":
            value = torch.softmax(value, dim=1)
        elif self.activation == "sigmoid":
            value = torch.sigmoid(value)
        elif self.activation == "from_largest":
            value = (value - torch.amax(value, dim=1, keepdim=True)).clamp(min=_MIN_LOGIT)
        if self.channels:
            value = torch.cat([value[:, index : index + 1] for index in self.channels], dim=1)
        if self.flipped:
            value = value.flip(self.flipped)
        if self.order != _IDENTITY:
            value = value.permute(self.order)
        if self.dtype == "UINT8":
            return torch.round(value * 255.0).to(torch.uint8)
        return value.to(torch.float16 if self.dtype == "FP16" else torch.float32)


def network_shape(spec: ModelSpec) -> tuple[int, int, int, int]:
    """Return the shape of the network's input without its batch axis: channels, then the network's spatial axes."""
    order, _ = _axis_order((spec.network or _DEFAULTS).axes)
    shape = (1, *spec.input_shape)
    channels, a, b, c = (shape[axis] for axis in order[1:])
    return channels, a, b, c


def _axis_order(axes: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the permutation from [batch, channel, z, y, x] to the network's axes, and the axes to flip after it.

    Args:
        axes: Direction of each of the network's spatial axes, as ``RAS``.
    """
    order = (0, 1, *(2 + _CANONICAL.index(_OPPOSITE.get(letter, letter)) for letter in axes))
    return order, tuple(2 + axis for axis, letter in enumerate(axes) if letter in _OPPOSITE)


def _per_channel(values: tuple[float, ...]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32).reshape(1, -1, 1, 1, 1)
