"""Requests that come together begin in turns."""

from __future__ import annotations

import asyncio
from typing import Any

from gateway.core.runtime.fairness import Pace, Transfers
from gateway.http.requests.turns import InTurns

_REQUESTS, _AT_ONCE = 500, 40


def test_few_begin_in_one_iteration_of_the_event_loop_and_all_are_answered() -> None:
    begun, longest = 0, 0

    async def application(scope: Any, receive: Any, send: Any) -> None:
        nonlocal begun
        begun += 1
        await asyncio.sleep(0)

    async def run() -> None:
        nonlocal longest
        requests = InTurns(application, Transfers(Pace()))
        tasks = [asyncio.create_task(requests({}, None, None)) for _ in range(_REQUESTS)]
        while begun < _REQUESTS:
            before = begun
            await asyncio.sleep(0)
            longest = max(longest, begun - before)
        await asyncio.gather(*tasks)

    asyncio.run(run())
    assert begun == _REQUESTS
    assert longest <= _AT_ONCE
