"""Both clients on a connection that fell silent: laptops that slept, networks that changed, routers that forgot it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import grpc
import grpc.aio
import pytest

from sixpoint import errors
from sixpoint.client import Answered, AsyncClient, Client, Timeout
from sixpoint.client._channel import CHANNEL_OPTIONS
from tests.sixpoint.client.test_client import POINTS, server, settled
from tests.sixpoint.client.test_masks import Drawing, drawing
from tests.support.images import noisy_volume
from tests.support.proxies import Silencer

__all__ = ["drawing", "server"]

BOTH = pytest.mark.parametrize("kind", [Client, AsyncClient], ids=["blocking", "asyncio"])
# What hangs for ever fails after so many seconds.
PATIENCE_S = 20.0


@pytest.fixture
def silencer(drawing: Drawing) -> Iterator[Silencer]:
    made = Silencer(drawing.address)
    yield made
    made.close()


def impatient(kind: Any, address: str) -> Any:
    """A client as it is shipped, but that it pings 30 times as often, and waits 30 times as short for the answer."""
    scaled = ("grpc.keepalive_time_ms", "grpc.keepalive_timeout_ms", "grpc.http2.ping_timeout_ms")
    options = [(name, value // 30 if name in scaled else value) for name, value in CHANNEL_OPTIONS]
    make = grpc.insecure_channel if kind is Client else grpc.aio.insecure_channel
    return kind(address, timeout=Timeout(call=PATIENCE_S), channel=make(address, options=options))


async def following(stream: Any) -> Any:
    """The next event of either client's stream."""
    coming = anext(stream) if hasattr(stream, "__anext__") else asyncio.to_thread(next, stream)
    return await asyncio.wait_for(coming, PATIENCE_S)


@BOTH
async def test_a_client_whose_connection_fell_silent_opens_another(silencer: Silencer, kind: Any) -> None:
    client = impatient(kind, silencer.address)
    session = await settled(client.open_session(noisy_volume()))
    silencer.silence()
    assert (await settled(session.annotate(POINTS))).revision == 1
    assert len(silencer.passed) == 2
    await settled(client.close())


@BOTH
async def test_a_viewers_stream_that_fell_silent_ends_with_an_error(silencer: Silencer, kind: Any) -> None:
    client = impatient(kind, silencer.address)
    session = await settled(client.open_session(noisy_volume()))
    async with contextlib.AsyncExitStack() as stack:
        stream = session.interact()
        await settled(stack.enter_context(stream) if kind is Client else stack.enter_async_context(stream))
        await settled(stream.send(POINTS))
        assert isinstance(await following(stream), Answered)
        silencer.silence()
        with pytest.raises(errors.Unavailable):
            await following(stream)
    assert (await settled(session.annotate(POINTS))).revision == 2
    await settled(client.close())
