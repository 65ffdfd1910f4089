"""Stores that are asked again and again."""

from __future__ import annotations

import asyncio

import pytest

from gateway.core.runtime.reachability import Reachability
from sixpoint.errors import StorageUnavailable


class Store:
    """Answers, fails or hangs, as it is told."""

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.answers = asyncio.Event()
        self.answers.set()
        self.asked = 0

    async def check(self) -> None:
        self.asked += 1
        await self.answers.wait()
        if self.failure:
            raise self.failure


async def test_what_fails_or_hangs_is_away_until_it_answers(caplog: pytest.LogCaptureFixture) -> None:
    stores = {"database": Store(), "blob store": Store()}
    changes = asyncio.Queue[bool]()
    reachability = Reachability(
        {name: store.check for name, store in stores.items()},
        interval=0.001,
        patience=0.02,
        changed=lambda: changes.put_nowait(reachability.reachable),
    )
    running = asyncio.create_task(reachability.run())
    async with asyncio.timeout(20):
        for failure in (StorageUnavailable("away"), ValueError("unexpected")):
            stores["database"].failure = failure
            assert not await changes.get()
            stores["database"].failure = None
            assert await changes.get()
        stores["blob store"].answers.clear()
        assert not await changes.get()
        asked = stores["blob store"].asked
        await asyncio.sleep(0.1)
        assert stores["blob store"].asked == asked, "one question at a time"
        stores["blob store"].answers.set()
        assert await changes.get()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert [record.reason for record in caplog.records if "NOT_SERVING" in record.getMessage()] == [  # type: ignore[attr-defined]
        "STORAGE_UNAVAILABLE",
        "ValueError",
        "no answer",
    ]
