"""Start a network from another network's weights."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from sixpoint.errors import InvalidArgument
from sixpoint.model_spec.spec import Channel, ModelSpec
from trainer.training.network import build_network

__all__ = ["adapt_weights", "load_matching"]

_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def adapt_weights(state: dict[str, torch.Tensor], *, old: ModelSpec, new: ModelSpec) -> dict[str, torch.Tensor]:
    """A network's weights for other input channels, or for a wider network of its kind: it answers as before.

    Weights of input channels that both specs have stay, those of new ones start at 0. A wider ``UNet`` starts with the
    narrow one inside (Chen, Goodfellow, Shlens: Net2Net, ICLR 2016): new features are drawn at random, and what was
    there does not listen to them yet.

    Args:
        state: State dict of the network of ``old``.
        old: The spec that it was trained with.
        new: The spec to train with; its network may differ from the old one in its input channels and widths only.
    """
    before, after = old.input.channels, new.input.channels
    if before != after:
        state = _with_channels(state, before=before, after=after, wanted=build_network(new).state_dict())
    narrow, wide = _widths(old), _widths(new)
    if narrow != wide and len(narrow) == len(wide) and all(a <= b for a, b in zip(narrow, wide, strict=True)):
        state = _widened(state, build_network(new), narrow=narrow, wide=wide)
    return state


def _with_channels(
    state: dict[str, torch.Tensor],
    *,
    before: tuple[Channel, ...],
    after: tuple[Channel, ...],
    wanted: dict[str, torch.Tensor],
) -> dict[str, torch.Tensor]:
    adapted = {}
    for name, value in state.items():
        if name in wanted and wanted[name].shape != value.shape and value.shape[1:2] == (len(before),):
            grown = value.new_zeros(value.shape[0], len(after), *value.shape[2:])
            for index, channel in enumerate(after):
                if channel in before:
                    grown[:, index] = value[:, before.index(channel)]
            value = grown
        adapted[name] = value
    return adapted


def _widths(spec: ModelSpec) -> list[int]:
    if spec.network is None or spec.network.name != "UNet":
        return []
    return list(spec.network.arguments.get("channels", []))


def _widened(
    state: dict[str, torch.Tensor], network: nn.Module, *, narrow: list[int], wide: list[int]
) -> dict[str, torch.Tensor]:
    """The state of a MONAI UNet of widths ``narrow`` within ``network``, one of widths ``wide``; what is new is random.

    That of a network of another make stays as it is: whoever loads it says so.
    """
    rising = {f"{name}.weight" for name, part in network.named_modules() if isinstance(part, _TRANSPOSED)}
    start = network.state_dict()
    if start.keys() != state.keys() or any(start[name].shape[2:] != value.shape[2:] for name, value in state.items()):
        return state
    grown = {}
    for name, value in state.items():
        whole = start[name].clone()
        grown[name] = whole
        if value.dim() == 0:
            whole.copy_(value)
            continue
        if value.dim() == 1:
            whole[: len(value)] = value
            continue
        # A transposed convolution has its inputs first: features of its own level, then those from below.
        old, features = (value.transpose(0, 1), whole.transpose(0, 1)) if name in rising else (value, whole)
        outputs, inputs = old.shape[:2]
        places = torch.arange(inputs)
        if name in rising:
            level = name.count("submodule")
            places[narrow[level] :] += wide[level] - narrow[level]
        features[:outputs] = 0
        features[:outputs, places] = old
    return grown


def load_matching(network: nn.Module, state: dict[str, torch.Tensor], *, source: Path) -> None:
    """Start a network from another's weights; tensors of other shapes (for other labels) stay as they are.

    Args:
        network: To start.
        state: The other's state dict.
        source: Where it came from, for errors.

    Raises:
        InvalidArgument: Most of the network is not in it.
    """
    own = network.state_dict()
    fitting = {name: value for name, value in state.items() if name in own and own[name].shape == value.shape}
    if len(fitting) <= len(own) // 2:
        raise InvalidArgument(f"{source} is of another network: {len(fitting)} of {len(own)} tensors fit")
    network.load_state_dict({**own, **fitting})
