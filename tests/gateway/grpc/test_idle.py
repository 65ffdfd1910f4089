"""Streams that stand still."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator
from typing import TypeVar

import pytest

from gateway.grpc import idle
from gateway.grpc.idle import IdleGuard, IdleLimit
from sixpoint.errors import DeadlineExceeded, Unavailable
from sixpoint.v1 import image_service_pb2 as image_pb

_Message = TypeVar("_Message")


def chunk(nbytes: int) -> image_pb.UploadImageRequest:
    return image_pb.UploadImageRequest(chunk=bytes(nbytes))


async def paced(*steps: tuple[float, int]) -> AsyncIterator[image_pb.UploadImageRequest]:
    """Messages, each so many seconds after the one before, with so many bytes."""
    for seconds, nbytes in steps:
        await asyncio.sleep(seconds)
        yield chunk(nbytes)


def limit(seconds: float, *, nbytes: int = 0, crowded: bool = False) -> IdleLimit:
    return IdleLimit(seconds, setting="SIXPOINT_X", advice="go on", nbytes=nbytes, crowded=lambda: crowded)


def guarded(messages: AsyncIterator[_Message], limit: IdleLimit) -> AsyncIterator[_Message]:
    return IdleGuard(limit).guard(messages)


async def taken(messages: AsyncIterator[image_pb.UploadImageRequest], *, pause: float = 0.0) -> int:
    """Number of messages, of which each takes a while."""
    count = 0
    async for _ in messages:
        count += 1
        await asyncio.sleep(pause)
    return count


async def receive(steps: list[tuple[float, int]], limit: IdleLimit) -> None:
    """Count the bytes of paced messages as an upload does."""
    guard = IdleGuard(limit)
    async for message in guard.guard(paced(*steps)):
        guard.arrived(len(message.chunk))


async def test_messages_in_time_pass_however_long_each_of_them_takes() -> None:
    assert await taken(guarded(paced((0.1, 1), (0.1, 1), (0.1, 1)), limit(0.3)), pause=0.2) == 3


async def test_a_stream_that_stands_still_is_ended_and_says_by_which_setting() -> None:
    messages = guarded(paced((0.0, 1), (30.0, 1)), limit(0.2))
    await anext(messages)
    with pytest.raises(DeadlineExceeded, match=r"nothing arrived for 0\.2 s, the limit \(SIXPOINT_X\); go on"):
        await anext(messages)


@pytest.mark.parametrize(("nbytes", "passes"), [(1, False), (600, True)])
async def test_a_trickle_is_no_progress(nbytes: int, passes: bool) -> None:
    receiving = receive([(0.1, nbytes)] * 12, limit(0.5, nbytes=1000))
    if passes:
        await receiving
    else:
        with pytest.raises(DeadlineExceeded, match=r"only \d+ bytes arrived"):
            await receiving


@pytest.mark.parametrize("steps", [[(30.0, 1)], [(0.05, 1)] * 40], ids=["nothing", "a trickle"])
async def test_it_gives_way_early_when_others_wait(
    steps: list[tuple[float, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A quarter of a second, far from the limit.
    monkeypatch.setattr(idle, "_PATIENCE", 1 / 240)
    with pytest.raises(Unavailable, match="others wait; go on") as caught:
        async with asyncio.timeout(20):
            await receive(steps, limit(60.0, nbytes=1000, crowded=True))
    assert caught.value.retry_after


async def test_no_message_is_held_while_the_next_one_is_awaited() -> None:

    class Large:
        """A message that can be watched."""

    references: list[weakref.ref[Large]] = []

    async def single() -> AsyncIterator[Large]:
        message = [Large()]
        references.append(weakref.ref(message[0]))
        yield message.pop()
        await asyncio.sleep(30)

    messages = guarded(single(), limit(30.0))
    message = await anext(messages)
    waiting = asyncio.ensure_future(anext(messages))
    await asyncio.sleep(0.01)
    del message
    assert references[0]() is None
    waiting.cancel()
