"""The network that a ModelSpec names, and the module that is exported."""

from __future__ import annotations

import copy
import difflib
import inspect

import torch
from monai.networks import nets
from torch import nn

from exporter.graph.adapters import InputAdapter, OutputAdapter, network_shape
from exporter.graph.session import require_small_window
from sixpoint.errors import ModelSpecError
from sixpoint.model_spec import ModelSpec

__all__ = ["ProbabilityNetwork", "build_network", "check_output"]


class ProbabilityNetwork(nn.Module):
    """A network between the adapters of a ModelSpec.

    Half-precision inputs and byte probabilities keep requests and replies small. The conversions are part of the graph,
    so that no caller can get them wrong.

    Args:
        network: Network from float32 [batch, channel, its spatial axes] to logits [batch, label, its spatial axes].
        spec: Description of the model; configures the adapters (:mod:`exporter.graph.adapters`).
        half: Whether the network computes in float16, on a copy of its weights; the activation is always float32.
    """

    def __init__(self, network: nn.Module, spec: ModelSpec, *, half: bool = False) -> None:
        super().__init__()
        # The names of these attributes are part of exported files: another one changes their SHA-256.
        self.entry = InputAdapter(spec)
        self.network = copy.deepcopy(network).half() if half else network
        self.dtype = torch.float16 if half else torch.float32
        self.head = OutputAdapter(spec)

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        """Return probabilities or logits [batch, label, z, y, x] for ``value`` [batch, channel, z, y, x]."""
        logits = self.network(self.entry(value).to(self.dtype)).to(torch.float32)
        result: torch.Tensor = self.head(logits)
        return result


def build_network(spec: ModelSpec) -> nn.Module:
    """Build the network that the spec names, with random weights and in evaluation mode, and check its shapes.

    Raises:
        ModelSpecError: The window is too large, the spec names no network of MONAI, its arguments are invalid, or its
            shapes do not match the spec's tensors.
    """
    require_small_window(spec)
    if spec.network is None:
        raise ModelSpecError("the spec names no network: add network: {name: ..., arguments: {...}}")
    name = spec.network.name
    kind = getattr(nets, name, None)
    if not (inspect.isclass(kind) and issubclass(kind, nn.Module)):
        classes = [key for key, value in vars(nets).items() if inspect.isclass(value)]
        close = difflib.get_close_matches(name, classes, n=1, cutoff=0.5)
        suggestion = f": did you mean {close[0]}?" if close else ""
        raise ModelSpecError(f"monai.networks.nets has no network {name}{suggestion}")
    try:
        network: nn.Module = kind(**spec.network.arguments).eval()
    except Exception as error:  # MONAI's constructors raise any kind of exception
        raise ModelSpecError(f"network {name} cannot be built: {error}") from error
    _check_shapes(network, spec)
    return network


def _check_shapes(network: nn.Module, spec: ModelSpec) -> None:
    name = type(network).__name__
    shape = network_shape(spec)
    try:
        with torch.inference_mode():
            result = network(torch.zeros(1, *shape))
    except Exception as error:  # as do their forward methods on an input of the wrong shape
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelSpecError(f"network {name} cannot take the spec's input {list(shape)}: {reason}") from error
    if not isinstance(result, torch.Tensor):
        raise ModelSpecError(f"network {name} must return one tensor, got {type(result).__name__}")
    check_output(tuple(result.shape), spec, what=f"network {name}")


def check_output(shape: tuple[int, ...], spec: ModelSpec, *, what: str) -> None:
    """Check that a network's output has the channels and the grid that the spec needs.

    Args:
        shape: Shape of the network's output, [batch, channel, its spatial axes].
        spec: Description of the model.
        what: Name of the network in errors.

    Raises:
        ModelSpecError: The shape does not match.
    """
    channels = spec.network.channels if spec.network else ()
    labels = spec.output_shape[0]
    if channels and len(channels) != labels:
        raise ModelSpecError(f"network.channels selects {len(channels)} channels, and the spec has {labels} outputs")
    fits = max(channels) < shape[1] if channels and len(shape) > 1 else shape[1:2] == (labels,)
    expected = (max(channels) + 1 if channels else labels, *network_shape(spec)[1:])
    if not fits or shape[2:] != expected[1:]:
        raise ModelSpecError(f"{what} returns {list(shape[1:])}, and the spec expects {list(expected)}")
