"""Between a network and the tensors that travel: types, axes, numbers and activation, folded into the graph."""

from __future__ import annotations

import torch
from torch import nn

from sixpoint.model_spec import ModelSpec, NetworkSpec, Task

__all__ = ["InputAdapter", "OutputAdapter", "activation", "network_shape"]

_PLAIN = NetworkSpec(name="")
_CANONICAL = "SPL"
_OPPOSITE = {"R": "L", "A": "P", "I": "S"}


class InputAdapter(nn.Module):
    """From the model's input [batch, channel, z, y, x] to what the network sees, float32 on its own axes.

    Args:
        spec: Of the model; its network says which axes, and which numbers.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        network = spec.network or _PLAIN
        self.order, self.flipped = _turn(network.axes)
        self.scale: torch.Tensor
        self.offset: torch.Tensor
        self.scaled = any(one != 1 for one in network.scale) or any(network.offset)
        if self.scaled:
            self.register_buffer("scale", _column(network.scale or (1.0,)))
            self.register_buffer("offset", _column(network.offset or (0.0,)))

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        """What the network sees of ``value``."""
        value = value.to(torch.float32)
        if self.scaled:
            value = value * self.scale + self.offset
        if self.order != (0, 1, 2, 3, 4):
            value = value.permute(self.order)
        return value.flip(self.flipped) if self.flipped else value


class OutputAdapter(nn.Module):
    """From the network's output on its own axes to the model's: probabilities [batch, label, z, y, x] in their type.

    Args:
        spec: Of the model.
    """

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        network = spec.network or _PLAIN
        order, self.flipped = _turn(network.axes)
        self.order = tuple(order.index(axis) for axis in range(5))
        self.activation = activation(spec)
        self.channels = network.channels
        self.dtype = spec.output.dtype

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        """The model's output for the network's ``value``."""
        if self.activation == "softmax":
            value = torch.softmax(value, dim=1)
        elif self.activation == "sigmoid":
            value = torch.sigmoid(value)
        if self.channels:
            value = torch.cat([value[:, index : index + 1] for index in self.channels], dim=1)
        if self.flipped:
            value = value.flip(self.flipped)
        if self.order != (0, 1, 2, 3, 4):
            value = value.permute(self.order)
        if self.dtype == "UINT8":
            return torch.round(value * 255.0).to(torch.uint8)
        return value.to(torch.float16 if self.dtype == "FP16" else torch.float32)


def activation(spec: ModelSpec) -> str:
    """What makes probabilities of the network's output: ``softmax``, ``sigmoid`` or ``none``."""
    if spec.network is not None and spec.network.activation is not None:
        return spec.network.activation
    return "softmax" if spec.task is Task.SEGMENTATION and spec.output.exclusive else "sigmoid"


def network_shape(spec: ModelSpec) -> tuple[int, int, int, int]:
    """Shape of what the network itself sees without its batch axis, [channel, and its own spatial axes]."""
    order, _ = _turn((spec.network or _PLAIN).axes)
    shape = (1, *spec.input_shape)
    channels, a, b, c = (shape[axis] for axis in order[1:])
    return channels, a, b, c


def _turn(axes: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """How [batch, channel, z, y, x] becomes the network's tensor: the order of axes, and those flipped after that."""
    order = (0, 1, *(2 + _CANONICAL.index(_OPPOSITE.get(letter, letter)) for letter in axes))
    return order, tuple(2 + place for place, letter in enumerate(axes) if letter in _OPPOSITE)


def _column(values: tuple[float, ...]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float32).reshape(1, -1, 1, 1, 1)
