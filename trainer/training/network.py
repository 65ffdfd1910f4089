"""Build the MONAI network that a spec names."""

from __future__ import annotations

from monai.networks import nets
from torch import nn

from sixpoint.errors import ModelSpecError
from sixpoint.model_spec.spec import ModelSpec, NetworkSpec, Task

__all__ = ["build_network"]


def build_network(spec: ModelSpec) -> nn.Module:
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
