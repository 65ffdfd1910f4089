"""What the core needs from a backend that runs networks, such as Triton's client."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from gateway.core.runtime.catalog import Model
from gateway.core.runtime.deadline import Deadline
from gateway.core.runtime.fairness import FairBudget
from gateway.core.runtime.phases import note_wait, phase
from sixpoint._typing import Array, Float, Floating
from sixpoint.errors import DeadlineExceeded, InferenceError

__all__ = ["FairInference", "Inference", "InferenceResult", "check_finite", "decode_probabilities"]


@dataclass(frozen=True, eq=False)
class InferenceResult:
    """Output of a network.

    Attributes:
        output: Probabilities [channel, z, y, x].
        version: Version of the model that computed them.
        waited: Seconds that the call waited for its turn.
    """

    output: Array
    version: str
    waited: float = 0.0


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


class FairInference:
    """A backend that gets as many calls at once as it can use; the others wait here, in turns by owner.

    The backend itself answers in the order of arrival: what has been sent, nobody can pass.

    Args:
        inference: The backend.
    """

    def __init__(self, inference: Inference) -> None:
        self._inference = inference
        self._running: dict[str, FairBudget] = {}

    @property
    def waiting(self) -> int:
        """Number of calls that wait for their turn."""
        return sum(running.waiting for running in self._running.values())

    async def infer(self, model: Model, tensor: Floating, *, timeout: float, version: str = "") -> InferenceResult:
        """Run one input through a version of a model; see :meth:`Inference.infer`.

        Args:
            model: Model to run.
            tensor: Input of the network, [channel, z, y, x].
            timeout: Seconds that the call may take, with the time that it waits.
            version: Version to run; empty for the model's own.
        """
        deadline, started = Deadline.after(timeout), time.perf_counter()
        running = self._running.setdefault(model.name, FairBudget(model.in_flight))
        running.limit = model.in_flight
        async with contextlib.AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(timeout):
                    await stack.enter_async_context(running.reserve(1))
            except TimeoutError:
                raise DeadlineExceeded("the deadline passed while the call waited for Triton") from None
            waited = time.perf_counter() - started
            note_wait(started)
            with phase("inference"):
                result = await self._inference.infer(model, tensor, timeout=deadline.remaining(), version=version)
        return replace(result, waited=waited)


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
