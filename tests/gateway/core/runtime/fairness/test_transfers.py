"""Uploads and downloads: they pass in turns, and those who are ahead of their pace wait."""

from __future__ import annotations

import asyncio

import pytest

from gateway.core.runtime.fairness import ByteTurns, Pace, Transfers, acting_for


async def test_who_is_ahead_of_the_pace_is_held_up_and_others_are_not() -> None:
    transfers = Transfers(Pace(1e9, burst=1_000_000, now=lambda: 100.0))
    with acting_for("anna"):
        assert await transfers.keep_pace(1_000_000) == pytest.approx(0, abs=1e-6)
        assert 1e-4 < await transfers.keep_pace(1_000_000) < 0.01
    with acting_for("bert"):
        assert await transfers.keep_pace(500_000) == 0


async def test_parts_that_come_together_pass_one_in_each_iteration() -> None:
    transfers, passed = Transfers(Pace(), turns=ByteTurns(1)), list[str]()

    async def send(owner: str) -> None:
        with acting_for(owner):
            await transfers.take_turn(1000)
        passed.append(owner)

    await asyncio.gather(*(send(owner) for owner in ["greedy"] * 20 + ["polite"] * 2))
    assert passed[:5].count("polite") == 2
