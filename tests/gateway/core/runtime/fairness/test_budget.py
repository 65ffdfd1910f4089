"""Who is next: owners take turns, and one with many calls does not keep the others waiting."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from gateway.core.runtime.fairness import FairBudget, acting_for


@dataclass
class Calls:
    """Calls of several owners, which run until they are ended."""

    budget: FairBudget
    started: list[str] = field(default_factory=list)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    ends: dict[str, list[asyncio.Event]] = field(default_factory=dict)

    async def send(self, owner: str, *, count: int = 1, amount: int = 1) -> None:
        with acting_for(owner):
            self.tasks += [asyncio.create_task(self._run(owner, amount)) for _ in range(count)]
        await settled()

    async def end(self, owner: str) -> None:
        """End the oldest running call of an owner."""
        self.ends[owner].pop(0).set()
        await settled()

    async def _run(self, owner: str, amount: int) -> None:
        async with self.budget.reserve(amount):
            end = asyncio.Event()
            self.started.append(owner)
            self.ends.setdefault(owner, []).append(end)
            await end.wait()


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@dataclass
class Clock:
    seconds: float = 0.0

    def __call__(self) -> float:
        return self.seconds


async def test_an_owner_alone_uses_the_whole_budget() -> None:
    calls = Calls(FairBudget(4))
    await calls.send("greedy", count=9)
    assert calls.started == ["greedy"] * 4


async def test_a_caller_beside_a_hundred_waiting_calls_is_next() -> None:
    calls = Calls(FairBudget(2))
    await calls.send("greedy", count=100)
    await calls.send("polite")
    assert calls.started == ["greedy"] * 2
    await calls.end("greedy")
    assert calls.started[2:] == ["polite"]


async def test_between_its_calls_an_owner_keeps_its_share_but_not_for_ever() -> None:
    clock = Clock()
    calls = Calls(FairBudget(2, linger=5.0, now=clock))
    await calls.send("polite")
    await calls.send("greedy", count=9)
    await calls.end("polite")
    assert calls.started == ["polite", "greedy"], "the second place is kept for the next click"
    await calls.send("polite")
    assert calls.started[2:] == ["polite"], "which need not wait"
    await calls.end("polite")
    clock.seconds = 6.0
    await calls.end("greedy")
    assert calls.started[3:] == ["greedy"] * 2, "who does not come back leaves the whole budget"


async def test_of_many_owners_each_gets_its_turn() -> None:
    calls = Calls(FairBudget(1))
    owners = [f"greedy {number}" for number in range(10)]
    for owner in owners:
        await calls.send(owner, count=20)
    await calls.send("polite", count=3)
    for _ in range(33):
        await calls.end(calls.started[-1])
    assert calls.started[:33].count("polite") == 3
    assert {calls.started[:33].count(owner) for owner in owners} == {3}


async def test_an_owner_without_a_running_call_is_before_one_served_earlier_that_has_some() -> None:
    calls = Calls(FairBudget(4))
    await calls.send("a")
    await calls.send("b", amount=3)
    await calls.send("a")
    await calls.send("b")
    await calls.end("b")
    assert calls.started == ["a", "b", "b", "a"]


async def test_an_owner_with_little_runs_more_of_it_at_once_than_one_with_much() -> None:
    calls = Calls(FairBudget(100))
    await calls.send("polite", amount=20)
    await calls.send("greedy", count=9, amount=20)
    assert calls.started.count("greedy") == 2, "half of the budget"
    await calls.send("polite", amount=20)
    assert calls.started.count("polite") == 2


async def test_an_owner_with_one_large_call_may_exceed_its_share() -> None:
    calls = Calls(FairBudget(100))
    await calls.send("a", amount=10)
    await calls.send("b", amount=90)
    assert calls.started == ["a", "b"]


async def test_a_large_call_is_not_passed_for_ever_by_owners_with_small_ones() -> None:
    clock = Clock()
    calls = Calls(FairBudget(100, now=clock))
    await calls.send("small 1", amount=40)
    await calls.send("large", amount=90)
    await calls.send("small 2", amount=40)
    assert calls.started == ["small 1", "small 2"], "at first, what fits may pass"
    # Owners without a running call: no share of the budget stops them.
    await calls.send("small 3", amount=40)
    await calls.send("small 4", amount=40)
    clock.seconds = 3.0
    await calls.end("small 1")
    await calls.end("small 2")
    assert calls.started == ["small 1", "small 2", "large"]


async def test_a_cancelled_call_leaves_its_turn_to_the_next() -> None:
    calls = Calls(FairBudget(1))
    await calls.send("a", count=3)
    calls.tasks[1].cancel()
    calls.tasks[0].cancel()
    await settled()
    assert calls.started == ["a", "a"]
    calls.tasks[2].cancel()
    await settled()
    assert calls.budget.used == 0


async def test_a_part_of_the_budget_is_left_for_owners_of_whom_none_runs() -> None:
    calls = Calls(FairBudget(8, newcomers=2))
    await calls.send("greedy", count=20)
    assert calls.started == ["greedy"] * 6
    for newcomer in ("anna", "bert"):
        await calls.send(newcomer, count=2)
    assert calls.started[6:] == ["anna", "bert"]
    # They have one each by now, and wait as all others do.
    await calls.end("greedy")
    assert calls.started[8:] == []
    await calls.end("anna")
    assert calls.started[8:] == ["anna"]


async def test_an_owner_without_a_running_call_may_use_the_part_of_newcomers() -> None:
    calls = Calls(FairBudget(2, newcomers=1))
    await calls.send("lone", amount=2)
    assert calls.started == ["lone"]
