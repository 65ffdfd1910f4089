"""Who may work: a budget of bytes, a line of limited length, and nobody starves."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from gateway.core.runtime import Admission
from gateway.core.runtime.fairness import acting_for
from sixpoint.errors import ResourceExhausted


@dataclass
class Clock:
    seconds: float = 0.0

    def __call__(self) -> float:
        return self.seconds


class Work:
    """Something that holds memory until it is told to finish."""

    def __init__(self, admission: Admission, nbytes: int) -> None:
        self.running = False
        self.finish = asyncio.Event()
        self.task = asyncio.create_task(self._run(admission, nbytes))

    async def _run(self, admission: Admission, nbytes: int) -> None:
        async with admission.memory(nbytes):
            self.running = True
            await self.finish.wait()
            self.running = False

    async def end(self) -> None:
        self.finish.set()
        await self.task


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_work_waits_until_its_memory_is_free() -> None:
    admission = Admission(budget=100, max_active=10)
    first, second = Work(admission, 60), Work(admission, 60)
    await settled()
    assert (first.running, second.running) == (True, False)
    await first.end()
    await settled()
    assert second.running
    await second.end()


async def test_what_is_larger_than_the_budget_runs_alone() -> None:
    admission = Admission(budget=100, max_active=10)
    huge = Work(admission, 10**12)
    small = Work(admission, 1)
    await settled()
    assert (huge.running, small.running) == (True, False)
    await huge.end()
    await settled()
    assert small.running
    await small.end()


async def test_small_work_passes_a_large_one_that_does_not_fit_but_not_for_ever() -> None:
    clock = Clock()
    admission = Admission(budget=100, max_active=10, now=clock)
    running = Work(admission, 70)
    await settled()
    large, small = Work(admission, 90), Work(admission, 20)
    await settled()
    assert (large.running, small.running) == (False, True)
    clock.seconds = 3.0
    late = Work(admission, 5)
    await small.end()
    await settled()
    assert (large.running, late.running) == (False, False), "the large one has waited long enough"
    await running.end()
    await settled()
    assert large.running
    await large.end()
    await late.end()


async def test_work_that_is_cancelled_while_it_waits_gives_way() -> None:
    admission = Admission(budget=100, max_active=10)
    running, waiting, behind = Work(admission, 80), Work(admission, 90), Work(admission, 90)
    await settled()
    waiting.task.cancel()
    await settled()
    await running.end()
    await settled()
    assert behind.running
    await behind.end()
    last = Work(admission, 100)
    await settled()
    assert last.running, "nothing is held any more"
    await last.end()


async def test_work_that_is_admitted_and_cancelled_in_one_moment_gives_its_memory_back() -> None:
    admission = Admission(budget=100, max_active=10)
    running, waiting = Work(admission, 80), Work(admission, 90)
    await settled()
    running.finish.set()
    await asyncio.sleep(0)
    waiting.task.cancel()
    await asyncio.gather(running.task, waiting.task, return_exceptions=True)
    last = Work(admission, 100)
    await settled()
    assert last.running
    await last.end()


async def test_beyond_the_limit_a_time_to_try_again_is_said() -> None:
    admission = Admission(budget=100, max_active=1)
    async with admission.slot():
        with pytest.raises(ResourceExhausted, match="SIXPOINT_MAX_PROMPTS") as caught:
            async with admission.slot():
                pass
        assert caught.value.retry_after
        assert admission.active == 1
    async with admission.slot():
        pass


async def test_a_call_that_has_its_memory_keeps_its_place() -> None:
    admission, end = Admission(budget=100, max_active=2), asyncio.Event()

    async def call() -> None:
        async with admission.slot(), admission.memory(50):
            await end.wait()

    with acting_for("greedy"):
        running = [asyncio.create_task(call()) for _ in range(2)]
    await settled()
    with acting_for("polite"), pytest.raises(ResourceExhausted, match="which is the limit"):
        async with asyncio.timeout(10):
            await call()
    end.set()
    await asyncio.gather(*running)
