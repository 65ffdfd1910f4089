"""Bodies of requests and answers keep the pace of uploads and downloads; small ones are not held up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Response

from gateway.core.access import OpenAccess, Role
from gateway.core.runtime import DeadlineLimits
from gateway.core.runtime.fairness import Places, Turns, acting_for
from gateway.http.calls import Call, CallRules, CallRunner
from gateway.http.origins import OriginPolicy
from gateway.http.requests.bodies import RequestBody
from sixpoint.errors import InvalidArgument
from tests.gateway.transfers import NotedTransfers

MIB, PART = 2**20, 2**16
DEADLINES = DeadlineLimits(60.0, 60.0, "X_SECONDS")


def request_body(nbytes: int, *, delay: float = 0.0) -> Callable[[], Awaitable[dict[str, Any]]]:
    """ASGI's function to receive a body in parts of 64 KiB."""
    left = nbytes

    async def receive() -> dict[str, Any]:
        nonlocal left
        await asyncio.sleep(delay)
        size = min(left, PART)
        left -= size
        return {"type": "http.request", "body": bytes(size), "more_body": left > 0}

    return receive


@asynccontextmanager
async def answered(
    handle: Callable[[Call], Awaitable[Response]],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    transfers: NotedTransfers,
    *,
    idle: float = 30.0,
) -> AsyncIterator[int]:
    """Carry out a call of ``anna``; yields the status of its answer."""
    runner = CallRunner(
        authenticator=OpenAccess(),
        origins=OriginPolicy((), loopback=True),
        turns=Turns(1, Places(1, activity="calls run")),
        transfers=transfers,
        idle=idle,
    )
    statuses: list[int] = []

    async def send(message: dict[str, Any]) -> None:
        statuses.append(message.get("status", 0))

    headers = [(b"host", b"localhost"), (b"sixpoint-owner", b"anna")]
    scope = {"type": "http", "method": "PUT", "path": "/", "query_string": b"", "headers": headers, "client": None}
    await runner.run(handle, CallRules("PUT /", Role.VIEWER, DEADLINES), scope, receive, send)
    yield statuses[0]


async def read(call: Call) -> Response:
    """Read the body, whose size is answered."""
    return Response(str(sum([len(chunk) async for chunk in call.chunks()])))


async def test_a_large_body_keeps_the_pace_of_its_owner_beyond_its_first_mebibyte() -> None:
    transfers = NotedTransfers()
    async with answered(read, request_body(5 * MIB), transfers) as status:
        assert status == 200
    owner = next(iter(transfers.paced))
    assert owner.endswith("anna")
    # The last part has no next one that could be held up.
    assert transfers.paced[owner] == 4 * MIB - PART
    assert transfers.taken[owner] >= 5 * MIB - PART


async def test_a_large_answer_keeps_the_pace_of_its_owner() -> None:
    async def download(_: Call) -> Response:
        return Response(bytes(5 * MIB))

    transfers = NotedTransfers()
    async with answered(download, request_body(0), transfers) as status:
        assert status == 200
    assert list(transfers.paced.values()) == list(transfers.taken.values()) == [5 * MIB]


async def test_prompts_and_masks_are_not_held_up() -> None:
    async def answer(call: Call) -> Response:
        await read(call)
        return Response(bytes(MIB))

    transfers = NotedTransfers()
    async with answered(answer, request_body(MIB), transfers) as status:
        assert status == 200
    assert not transfers.paced


async def test_who_is_held_up_is_not_late() -> None:
    held = NotedTransfers(seconds=60.0)
    body, late = request_body(MIB + 8 * PART), 0

    async def receive() -> dict[str, Any]:
        nonlocal late
        if held.paced:
            late += 1
            await asyncio.sleep(0.02)
        return await body()

    async with answered(read, receive, held, idle=0.01) as status:
        assert status == 200
    assert late


async def test_the_rest_of_a_refused_body_keeps_the_pace_too() -> None:
    async def refuse(_: Call) -> Response:
        raise InvalidArgument("refused")

    transfers = NotedTransfers()
    async with answered(refuse, request_body(5 * MIB), transfers) as status:
        assert status == 400
    assert list(transfers.paced.values()) == [4 * MIB - PART]


async def test_bodies_are_received_in_turns() -> None:
    transfers, order = NotedTransfers(), list[str]()

    async def upload(owner: str) -> None:
        with acting_for(owner):
            body = RequestBody(request_body(2 * MIB), transfers)
            while not body.complete:
                await body.may_receive()
                await body()
                order.append(owner)

    await asyncio.gather(*(upload("greedy") for _ in range(32)), upload("polite"))
    # Not behind the 32 others, each of which sends as much.
    assert order[::-1].index("polite") > len(order) // 2
