"""The network that a ModelSpec names, and the form in which it is exported."""

from __future__ import annotations

import copy
import difflib
import inspect

import torch
from monai.networks import nets
from torch import nn

from exporter.graph.adapters import InputAdapter, OutputAdapter, network_shape
from sixpoint.errors import ModelSpecError
from sixpoint.model_spec import ModelSpec

__all__ = ["ProbabilityNetwork", "build_network", "check_output"]


class ProbabilityNetwork(nn.Module):
    """A network with the types of a ModelSpec at its ends, computing in float32 (or float16) between them.

    Half-precision inputs and probabilities as bytes are what makes requests and replies small; the conversions belong
    to the graph so that no caller can get them wrong.

    Args:
        network: Logits [batch, label, its spatial axes] from float32 [batch, channel, its spatial axes].
        spec: Says what lies between the network and the model's tensors: see :mod:`exporter.graph.adapters`.
        half: Compute in float16, with a copy of the weights; probabilities are made of the logits in float32.
    """

    def __init__(self, network: nn.Module, spec: ModelSpec, *, half: bool = False) -> None:
        super().__init__()
        self.entry = InputAdapter(spec)
        self.network = copy.deepcopy(network).half() if half else network
        self.dtype = torch.float16 if half else torch.float32
        self.head = OutputAdapter(spec)

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        """Probabilities [batch, label, z, y, x] of ``value`` [batch, channel, z, y, x]."""
        logits = self.network(self.entry(value).to(self.dtype)).to(torch.float32)
        result: torch.Tensor = self.head(logits)
        return result


def build_network(spec: ModelSpec) -> nn.Module:
    """Build the network that the spec names, without weights, in evaluation mode; and try its shapes.

    Raises:
        ModelSpecError: The spec names no network, one that MONAI does not have, or one that contradicts its tensors.
    """
    if spec.network is None:
        raise ModelSpecError("the spec names no network: add network: {name: ..., arguments: {...}}")
    name = spec.network.name
    kind = getattr(nets, name, None)
    if not (inspect.isclass(kind) and issubclass(kind, nn.Module)):
        known = [one for one, value in vars(nets).items() if inspect.isclass(value)]
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        raise ModelSpecError(f"monai.networks.nets has no network {name}{f': {close[0]}?' if close else ''}")
    try:
        network: nn.Module = kind(**spec.network.arguments).eval()
    except Exception as error:  # whatever a constructor of MONAI makes of wrong arguments
        raise ModelSpecError(f"network {name} cannot be built: {error}") from error
    _try_shapes(network, spec)
    return network


def _try_shapes(network: nn.Module, spec: ModelSpec) -> None:
    name = type(network).__name__
    shape = network_shape(spec)
    try:
        with torch.inference_mode():
            result = network(torch.zeros(1, *shape))
    except Exception as error:  # likewise, of an input that it was not made for
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelSpecError(f"network {name} cannot take the spec's input {list(shape)}: {reason}") from error
    if not isinstance(result, torch.Tensor):
        raise ModelSpecError(f"network {name} must return one tensor, not {type(result).__name__}")
    check_output(tuple(result.shape), spec, what=f"network {name}")


def check_output(found: tuple[int, ...], spec: ModelSpec, *, what: str) -> None:
    """Refuse a network's output that the spec's output cannot be made of.

    Args:
        found: Shape of the network's own output, [batch, channel, its spatial axes].
        spec: Of the model.
        what: The network, for errors.

    Raises:
        ModelSpecError: The grid is another, or channels are too few or too many.
    """
    channels = spec.network.channels if spec.network else ()
    wanted = spec.output_shape[0]
    if channels and len(channels) != wanted:
        raise ModelSpecError(f"network.channels keeps {len(channels)} channels, and the spec promises {wanted}")
    fits = max(channels) < found[1] if channels and len(found) > 1 else found[1:2] == (wanted,)
    expected = (max(channels) + 1 if channels else wanted, *network_shape(spec)[1:])
    if not fits or found[2:] != expected[1:]:
        raise ModelSpecError(f"{what} returns {list(found[1:])}, and the spec promises {list(expected)}")
