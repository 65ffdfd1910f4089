"""Building the spec's network, and the running average of its weights."""

from __future__ import annotations

import io
import pickle
import uuid
from pathlib import Path
from typing import Any

import torch
import yaml
from monai.networks import nets
from torch import nn

from sixpoint.errors import InvalidArgument, ModelSpecError
from sixpoint.model_spec import Channel, ModelSpec, NetworkSpec, Task

__all__ = [
    "Average",
    "adapt",
    "build",
    "load_fitting",
    "read_mapping",
    "read_spec",
    "read_state",
    "save_atomically",
    "write_atomically",
]

_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def read_spec(path: Path) -> ModelSpec:
    """The spec in a YAML file.

    Raises:
        ModelSpecError: When it is not one.
    """
    return ModelSpec.from_mapping(read_mapping(path))


def read_mapping(path: Path) -> dict[str, Any]:
    """A spec in a YAML file that may be incomplete.

    Raises:
        ModelSpecError: When it is not YAML, or no mapping.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ModelSpecError(f"{path.name} is not YAML: {error}") from error
    if not isinstance(data, dict):
        raise ModelSpecError(f"{path.name} holds no mapping")
    return data


def build(spec: ModelSpec) -> nn.Module:
    """The MONAI network that the spec names, freshly initialised.

    Raises:
        ModelSpecError: When it names none, MONAI refuses its arguments, or it says what lies between the network and
            the model's tensors: a network is trained on these themselves.
    """
    if spec.network is None:
        raise ModelSpecError("the spec names no network; expected network: {name, arguments}")
    _check_ends(spec, spec.network)
    kind = getattr(nets, spec.network.name, None)
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        raise ModelSpecError(f"monai.networks.nets has no network {spec.network.name!r}")
    try:
        return kind(**spec.network.arguments)
    except (TypeError, ValueError) as error:
        raise ModelSpecError(f"network {spec.network.name}: {error}") from error


def _check_ends(spec: ModelSpec, network: NetworkSpec) -> None:
    """Refuse what an export would put round a network that was trained without it: no check there would notice."""
    usual = "softmax" if spec.task is Task.SEGMENTATION else "sigmoid"
    ends = {
        "network.axes": network.axes != "SPL",
        "network.scale": any(factor != 1 for factor in network.scale),
        "network.offset": any(network.offset),
        "network.activation": network.activation not in {None, usual},
        "network.channels": network.channels not in {(), tuple(range(spec.output_shape[0]))},
        "output.exclusive": not spec.output.exclusive,
    }
    if found := ", ".join(name for name, differs in ends.items() if differs):
        raise ModelSpecError(
            f"the spec has {found}, as a network that was trained elsewhere needs it: one that is trained here sees "
            "and answers the model's own tensors, so leave it out"
        )


def adapt(state: dict[str, torch.Tensor], *, old: ModelSpec, new: ModelSpec) -> dict[str, torch.Tensor]:
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
        state = _with_channels(state, before=before, after=after, wanted=build(new).state_dict())
    narrow, wide = _widths(old), _widths(new)
    if narrow != wide and len(narrow) == len(wide) and all(a <= b for a, b in zip(narrow, wide, strict=True)):
        state = _widened(state, build(new), narrow=narrow, wide=wide)
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


def read_state(checkpoint: Path) -> dict[str, torch.Tensor]:
    """The weights in a checkpoint.

    Raises:
        InvalidArgument: The file is no checkpoint.
    """
    try:
        state: dict[str, torch.Tensor] = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
    except (OSError, RuntimeError, EOFError, KeyError, TypeError, pickle.UnpicklingError) as error:
        raise InvalidArgument(f"{checkpoint} is no checkpoint with a state_dict") from error
    return state


def load_fitting(network: nn.Module, state: dict[str, torch.Tensor], *, source: Path) -> None:
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


class Average:
    """Exponential moving average of a network's state: what is published.

    Args:
        network: The network whose state to follow.
        decay: Weight of the past; less in the first steps, so that the random start is soon forgotten.
    """

    def __init__(self, network: nn.Module, *, decay: float = 0.998) -> None:
        self.decay = decay
        self.state = {name: value.detach().clone() for name, value in network.state_dict().items()}

    def load(self, state: dict[str, torch.Tensor]) -> None:
        """Go on from a state that was saved, wherever it was."""
        for name, kept in self.state.items():
            kept.copy_(state[name])

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Move towards the network's present state after its ``step``-th step."""
        weight = 1.0 - min(self.decay, (1.0 + step) / (10.0 + step))
        now = network.state_dict()
        floating = [name for name, kept in self.state.items() if kept.is_floating_point()]
        torch._foreach_lerp_([self.state[name] for name in floating], [now[name] for name in floating], weight)
        for name in self.state.keys() - floating:
            self.state[name].copy_(now[name])


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file whole or not at all: a reader never meets half of it."""
    # A name of its own: several processes may write the file at once.
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def save_atomically(path: Path, state: dict[str, Any]) -> None:
    """``torch.save``, whole or not at all."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_atomically(path, buffer.getvalue())
