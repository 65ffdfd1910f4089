"""What the core needs from a backend that runs networks, such as Triton's client."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from gateway.core.runtime.catalog import Model
from sixpoint._typing import Array, Float, Floating
from sixpoint.errors import InferenceError

__all__ = ["Inference", "InferenceResult", "check_finite", "decode_probabilities"]


@dataclass(frozen=True, eq=False)
class InferenceResult:
    """Output of a network.

    Attributes:
        output: Probabilities [channel, z, y, x].
        version: Version of the model that computed them.
    """

    output: Array
    version: str


class Inference(Protocol):
    """A backend that runs networks."""

    async def infer(self, model: Model, tensor: Floating, *, timeout: float, version: str = "") -> InferenceResult:
        """Run one input through a version of a model.

        Args:
            model: Model to run.
            tensor: Input of the network, [channel, z, y, x].
            timeout: Seconds that the call may take.
            version: Version to run; empty for the model's own.

        Raises:
            DeadlineExceeded: When the call took longer than ``timeout``.
            TritonUnavailable: When the backend cannot be reached or the model is not ready.
            InferenceError: When the backend refuses the request, or the output contradicts the model's spec.
        """
        ...


def check_finite(output: Array, *, model: str) -> None:
    """Refuse an output with NaN or infinite numbers, which would turn into arbitrary 255ths.

    Raises:
        InferenceError: Naming the model.
    """
    if output.dtype.kind == "f" and not np.isfinite(output).all():
        raise InferenceError(f"model {model!r} answered numbers that are NaN or infinite")


def decode_probabilities(output: Array) -> Float:
    """Convert a network's output, 255ths (uint8) or floating-point, to probabilities in [0, 1]."""
    probabilities = output.astype(np.float32)
    return probabilities / np.float32(255.0) if output.dtype == np.uint8 else probabilities
