"""Start a network from the weights of another network."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from sixpoint.errors import InvalidArgument
from sixpoint.model_spec import Channel, ModelSpec
from trainer.training.checkpoint import SPEC
from trainer.training.network import build_network
from trainer.training.start.find import StartFile
from trainer.training.start.misfit import describe_misfit

__all__ = ["adapt_weights", "load_matching", "start_network"]

_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def start_network(spec: ModelSpec, start: StartFile | None) -> nn.Module:
    """Build a spec's network, with the weights to start from if there are any.

    Args:
        spec: Spec of the network. Its channels and widths may differ from those of the weights.
        start: Weights to start from; None: random weights.

    Raises:
        InvalidArgument: The weights are not of such a network, or no spec lies beside a checkpoint.
    """
    network = build_network(spec)
    if start is not None:
        weights = start.read(spec)
        if start.spec is None and not start.is_onnx:
            raise InvalidArgument(f"{start.file} has no {SPEC} beside it: put the spec that it was trained with there")
        state = adapt_weights(weights, old=start.spec or spec, new=spec)
        load_matching(network, state, source=start.file)
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


def load_matching(
    network: nn.Module, state: dict[str, torch.Tensor], *, source: Path, labels: tuple[int | None, int] | None = None
) -> tuple[str, ...]:
    """Load the weights of another network of the same kind; every tensor must fit.

    Args:
        network: Network to load into.
        state: State dict of the other network.
        source: File that the state came from, for errors.
        labels: Channels of the other network's output (None: any) and of this one's. Tensors that differ by them alone
            stay as initialised. None: every tensor must fit.

    Returns:
        Names of the tensors that stay as initialised.

    Raises:
        InvalidArgument: A tensor does not fit. The error names it.
    """
    own = network.state_dict()
    fresh = {name for name, value in state.items() if name in own and _differs_by_labels(value, own[name], labels)}
    fitting = {name: value for name, value in state.items() if name not in fresh}
    if misfit := describe_misfit({name: value for name, value in own.items() if name not in fresh}, fitting):
        matching = sum(name in own and own[name].shape == value.shape for name, value in state.items())
        raise InvalidArgument(f"{source} is of another network: {matching} of {len(own)} tensors match; {misfit}")
    network.load_state_dict({**own, **fitting})
    return tuple(sorted(fresh))


def _differs_by_labels(old: torch.Tensor, new: torch.Tensor, labels: tuple[int | None, int] | None) -> bool:
    if labels is None or old.dim() != new.dim():
        return False
    before, after = labels
    differing = [pair for pair in zip(old.shape, new.shape, strict=True) if pair[0] != pair[1]]
    return bool(differing) and all(a == (before or a) and b == after for a, b in differing)
