"""What the core wants of whoever runs networks: Triton's client, or a test's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from gateway.core.runtime.catalog import Model
from sixpoint._typing import Array, Floating
from sixpoint.errors import InferenceError

__all__ = ["Inference", "Inferred", "check_finite"]


@dataclass(frozen=True, eq=False)
class Inferred:
    """What a network answered: its output [channel, z, y, x], and the version of the model that made it."""

    output: Array
    version: str


class Inference(Protocol):
    """Whoever runs a network."""

    async def infer(self, model: Model, tensor: Floating, *, timeout: float, version: str = "") -> Inferred:
        """Run one input [channel, z, y, x] through a version of a model, within ``timeout`` seconds.

        Args:
            model: The model.
            tensor: The input.
            timeout: Seconds that it may take.
            version: Which version; empty: the model's own.

        Raises:
            DeadlineExceeded: When it took longer.
            TritonUnavailable: When it cannot be reached or the model is not ready.
            InferenceError: When it refuses, or answers something else than the model's spec promises.
        """
        ...


def check_finite(output: Array, *, model: str) -> None:
    """Refuse an answer with numbers that are none: as counts of 255ths they would be anything.

    Raises:
        InferenceError: Naming the model.
    """
    if output.dtype.kind == "f" and not np.isfinite(output).all():
        raise InferenceError(f"model {model!r} answered numbers that are NaN or infinite")
