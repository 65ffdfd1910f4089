"""Calls that wait for a backend in turns by owner."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from gateway.core.runtime import FairInference, InferenceResult, Model
from gateway.core.runtime.fairness import acting_for, current_owner
from sixpoint._typing import Floating
from sixpoint.errors import DeadlineExceeded
from tests.support.models import ELLIPSOID_SPEC

_MODEL = Model("liver", "1", ELLIPSOID_SPEC, in_flight=2)
_TENSOR = np.zeros((1, 1, 1, 1), np.float32)


@dataclass
class Queue:
    """A backend that answers the calls it gets in their order, when it is told to."""

    owners: list[str] = field(default_factory=list)
    timeouts: list[float] = field(default_factory=list)
    answers: list[asyncio.Event] = field(default_factory=list)

    async def infer(self, model: Model, tensor: Floating, *, timeout: float, version: str = "") -> InferenceResult:
        self.owners.append(current_owner())
        self.timeouts.append(timeout)
        self.answers.append(asyncio.Event())
        await self.answers[-1].wait()
        return InferenceResult(tensor, version or model.version)


def call(
    inference: FairInference, owner: str, *, timeout: float = 60.0, model: Model = _MODEL
) -> asyncio.Task[InferenceResult]:
    with acting_for(owner):
        return asyncio.create_task(inference.infer(model, _TENSOR, timeout=timeout))


async def test_a_backend_gets_no_more_calls_than_it_can_use_and_the_next_is_anothers() -> None:
    backend = Queue()
    inference = FairInference(backend)
    greedy = [call(inference, "greedy") for _ in range(300)]
    await asyncio.sleep(0.05)
    polite = call(inference, "polite")
    await asyncio.sleep(0.05)
    assert backend.owners == ["greedy"] * 2
    backend.answers[0].set()
    first = await greedy[0]
    await asyncio.sleep(0)
    assert backend.owners == ["greedy"] * 2 + ["polite"]
    backend.answers[2].set()
    result = await polite
    assert result.version == "1"
    assert result.waited > first.waited
    assert backend.timeouts[2] <= 60.0 - result.waited + 0.01, "the time that it waited is spent"
    for task in greedy:
        task.cancel()
    await asyncio.gather(*greedy, return_exceptions=True)


async def test_a_backend_that_can_use_more_calls_than_before_gets_them() -> None:
    backend = Queue()
    inference = FairInference(backend)
    tasks = [call(inference, "greedy", model=replace(_MODEL, in_flight=1)) for _ in range(3)]
    await asyncio.sleep(0.01)
    assert len(backend.owners) == 1
    tasks.append(call(inference, "greedy"))
    await asyncio.sleep(0.01)
    assert len(backend.owners) == 2
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_call_whose_deadline_passes_while_it_waits_is_not_sent() -> None:
    backend = Queue()
    inference = FairInference(backend)
    running = [call(inference, "greedy") for _ in range(2)]
    with pytest.raises(DeadlineExceeded, match="waited for Triton"):
        await call(inference, "polite", timeout=0.05)
    for answer in backend.answers:
        answer.set()
    await asyncio.gather(*running)
    assert backend.owners == ["greedy"] * 2
