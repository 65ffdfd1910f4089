"""The network that a ModelSpec names, and the form in which it is exported."""

from __future__ import annotations

import copy
import difflib
import inspect

import torch
from monai.networks import nets
from torch import nn

from sixpoint.errors import ModelSpecError
from sixpoint.spec import ModelSpec, Task

__all__ = ["ProbabilityNetwork", "build_network"]


class ProbabilityNetwork(nn.Module):
    """A network with the types of a ModelSpec at its ends, computing in float32 (or float16) between them.

    Half-precision inputs and probabilities as bytes are what makes requests and replies small; the conversions belong
    to the graph so that no caller can get them wrong.

    Args:
        network: Logits [batch, label, z, y, x] from float32 [batch, channel, z, y, x].
        spec: Says what the logits are: of one object, each by itself (annotation), or of background and labels, of
            which each voxel is one (segmentation); and the output's type.
        half: Compute in float16, with a copy of the weights; probabilities are made of the logits in float32.
    """

    def __init__(self, network: nn.Module, spec: ModelSpec, *, half: bool = False) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).half() if half else network
        self.dtype = torch.float16 if half else torch.float32
        self.exclusive = spec.task is Task.SEGMENTATION
        self.output = spec.output.dtype

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        """Probabilities [batch, label, z, y, x] of ``value`` [batch, channel, z, y, x]."""
        logits = self.network(value.to(self.dtype)).to(torch.float32)
        probability = torch.softmax(logits, dim=1) if self.exclusive else torch.sigmoid(logits)
        if self.output == "UINT8":
            return torch.round(probability * 255.0).to(torch.uint8)
        return probability.to(torch.float16 if self.output == "FP16" else torch.float32)


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
    try:
        with torch.inference_mode():
            result = network(torch.zeros(1, *spec.input_shape))
    except Exception as error:  # likewise, of an input that it was not made for
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelSpecError(
            f"network {name} cannot take the spec's input {list(spec.input_shape)}: {reason}"
        ) from error
    if not isinstance(result, torch.Tensor):
        raise ModelSpecError(f"network {name} must return one tensor, not {type(result).__name__}")
    if tuple(result.shape[1:]) != spec.output_shape:
        found, expected = list(result.shape[1:]), list(spec.output_shape)
        raise ModelSpecError(f"network {name} returns {found}, and the spec promises {expected}")
