"""Start a network from the weights of another network."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from sixpoint.errors import InvalidArgument
from sixpoint.model_spec import Channel, ModelSpec
from trainer.data.spec_files import read_spec
from trainer.training.checkpoint import SPEC, read_weights
from trainer.training.network import build_network

__all__ = ["adapt_weights", "load_matching", "start_network"]

_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def start_network(spec: ModelSpec, checkpoint: Path | None) -> nn.Module:
    """Build a spec's network, with the weights of a checkpoint if one is given.

    Args:
        spec: Spec of the network. Its channels and widths may differ from those of the checkpoint.
        checkpoint: Checkpoint with its spec beside it; None: random weights.

    Raises:
        InvalidArgument: The file is not a checkpoint of such a network, or no spec lies beside it.
    """
    network = build_network(spec)
    if checkpoint is not None:
        weights, beside = read_weights(checkpoint), checkpoint.with_name(SPEC)
        if not beside.exists():
            raise InvalidArgument(f"{checkpoint} has no {SPEC} beside it: put the spec that it was trained with there")
        load_matching(network, adapt_weights(weights, old=read_spec(beside), new=spec), source=checkpoint)
    return network


def adapt_weights(state: dict[str, torch.Tensor], *, old: ModelSpec, new: ModelSpec) -> dict[str, torch.Tensor]:
    """Adapt weights to other input channels, or to a wider network of the same kind. The outputs stay the same.

    Weights of input channels that both specs have are kept, those of new channels start at 0. A wider ``UNet`` starts
    with the narrow one inside (Chen, Goodfellow, Shlens: Net2Net, ICLR 2016): new features are random, and the old ones
    do not read them yet.

    Args:
        state: State dict of the network of ``old``.
        old: Spec that the weights were trained with.
        new: Spec to train with. Its network may differ from the old one in input channels and widths only.
    """
    before, after = old.input.channels, new.input.channels
    if before != after:
        wanted = build_network(new).state_dict()
        state = _adapt_channels(state, before=before, after=after, wanted=wanted)
    narrow, wide = _unet_widths(old), _unet_widths(new)
    if narrow != wide and len(narrow) == len(wide) and all(a <= b for a, b in zip(narrow, wide, strict=True)):
        state = _widen(state, build_network(new), narrow=narrow, wide=wide)
    return state


def _adapt_channels(
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


def _unet_widths(spec: ModelSpec) -> list[int]:
    if spec.network is None or spec.network.name != "UNet":
        return []
    return list(spec.network.arguments.get("channels", []))


def _widen(
    state: dict[str, torch.Tensor], network: nn.Module, *, narrow: list[int], wide: list[int]
) -> dict[str, torch.Tensor]:
    """Embed the state of a MONAI UNet of widths ``narrow`` in ``network``, one of widths ``wide``.

    The state of a network with other tensors is returned unchanged: loading it raises the error.
    """
    transposed = {f"{name}.weight" for name, part in network.named_modules() if isinstance(part, _TRANSPOSED)}
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
        # A transposed convolution has its inputs first: features of its own level, then those of the level below.
        old, features = (value.transpose(0, 1), whole.transpose(0, 1)) if name in transposed else (value, whole)
        outputs, inputs = old.shape[:2]
        places = torch.arange(inputs)
        if name in transposed:
            level = name.count("submodule")
            places[narrow[level] :] += wide[level] - narrow[level]
        features[:outputs] = 0
        features[:outputs, places] = old
    return grown


def load_matching(network: nn.Module, state: dict[str, torch.Tensor], *, source: Path) -> None:
    """Load the weights whose names and shapes match. The others, e.g. for other labels, stay as initialised.

    Args:
        network: Network to load into.
        state: State dict of the other network.
        source: File that the state came from, for errors.

    Raises:
        InvalidArgument: Less than half of the network's tensors match.
    """
    own = network.state_dict()
    matching = {name: value for name, value in state.items() if name in own and own[name].shape == value.shape}
    if len(matching) <= len(own) // 2:
        raise InvalidArgument(
            f"{source} is of another network: {len(matching)} of {len(own)} tensors match, expected more than half"
        )
    network.load_state_dict({**own, **matching})
