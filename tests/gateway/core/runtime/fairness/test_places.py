"""Who finds a place when all want all of them."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from gateway.core.runtime.fairness import Places, Turns, acting_for, leaves_room
from sixpoint.errors import ResourceExhausted


class Crowd:
    """Calls that hold places until they are refused or cancelled."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.placed = Counter[str]()
        self.refused = Counter[str]()
        self.last = ""
        self.tasks: list[asyncio.Task[None]] = []

    async def come(self, owner: str, *, count: int = 1, running: bool = False) -> None:
        with acting_for(owner):
            self.tasks += [asyncio.create_task(self._hold(owner, running=running)) for _ in range(count)]
        for _ in range(5):
            await asyncio.sleep(0)

    async def leave(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def _hold(self, owner: str, *, running: bool) -> None:
        try:
            async with self.places.take() as place:
                place.started = running
                self.placed[owner] += 1
                try:
                    await asyncio.Event().wait()
                finally:
                    self.placed[owner] -= 1
        except ResourceExhausted as refusal:
            self.refused[owner] += 1
            self.last = refusal.message if refusal.retry_after else "no time to try again"


@pytest.mark.parametrize("hostile", [1, 10, 100])
async def test_a_newcomer_finds_a_place_beside_owners_that_want_all_of_them(hostile: int) -> None:
    crowd = Crowd(Places(256, owner_limit=224, activity="prompts wait"))
    for number in range(hostile):
        await crowd.come(f"hostile {number}", count=300)
    await crowd.come("polite")
    assert crowd.placed["polite"] == 1
    assert sum(crowd.placed.values()) == min(256, 224 * hostile + 1)
    assert max(crowd.placed.values()) <= max(-(-256 // hostile) + 1, 224 if hostile == 1 else 0)
    await crowd.leave()
    assert crowd.places.taken == 0


async def test_a_call_that_runs_keeps_its_place() -> None:
    crowd = Crowd(Places(3, activity="prompts wait"))
    await crowd.come("greedy", count=3, running=True)
    await crowd.come("polite")
    assert (crowd.placed["greedy"], crowd.placed["polite"]) == (3, 0)
    assert "3 prompts wait or wait, which is the limit; try again" in crowd.last
    await crowd.leave()


async def test_the_limit_of_one_owner_is_named() -> None:
    crowd = Crowd(Places(10, owner_limit=2, activity="uploads run", settings=("ALL", "MINE")))
    await crowd.come("greedy", count=3)
    assert crowd.last == (
        "2 of your uploads run or wait, which is the limit for one owner (MINE); try again when one of them has ended"
    )
    await crowd.leave()


async def test_who_makes_room_is_told_why() -> None:
    crowd = Crowd(Places(5, activity="uploads run", settings=("ALL", "MINE")))
    await crowd.come("greedy", count=5)
    await crowd.come("polite")
    assert (crowd.placed, crowd.refused) == ({"greedy": 4, "polite": 1}, {"greedy": 1})
    assert "(ALL), and most of them are yours: this call gave its place to another owner's" in crowd.last
    await crowd.come("polite", count=3)
    assert (crowd.placed["greedy"], crowd.placed["polite"]) == (3, 2), "a place is not taken to and fro"
    await crowd.leave()


async def test_of_the_calls_that_wait_the_last_one_gives_way() -> None:
    crowd = Crowd(Places(3, activity="uploads run"))
    await crowd.come("greedy", count=2)
    await crowd.come("greedy", running=True)
    await crowd.come("polite")
    assert [task.done() for task in crowd.tasks] == [False, True, False, False]
    await crowd.leave()


@pytest.mark.parametrize("hostile", [1, 10, 100])
async def test_where_nobody_has_to_give_way_newcomers_find_room_kept(hostile: int) -> None:
    crowd = Crowd(Places(1024, owner_limit=768, activity="streams are open", evict=False))
    for number in range(hostile):
        await crowd.come(f"hostile {number}", count=1000)
    await crowd.come("polite")
    assert crowd.placed["polite"] == 1
    await crowd.leave()


def test_an_owner_alone_may_hold_three_quarters() -> None:
    count = 0
    while leaves_room(count, total=count, limit=256):
        count += 1
    assert 192 <= count < 224
    assert leaves_room(0, total=255, limit=256)
    assert not leaves_room(0, total=256, limit=256)
    assert leaves_room(1, total=1, limit=2), "with few places, none is kept"


async def test_a_call_whose_turn_has_come_keeps_its_place() -> None:
    turns, end = Turns(2, Places(2, activity="calls run")), asyncio.Event()

    async def call() -> None:
        async with turns.take():
            await end.wait()

    with acting_for("greedy"):
        running = [asyncio.create_task(call()) for _ in range(2)]
    for _ in range(5):
        await asyncio.sleep(0)
    with acting_for("polite"), pytest.raises(ResourceExhausted, match="which is the limit"):
        async with asyncio.timeout(10):
            await call()
    end.set()
    await asyncio.gather(*running)
