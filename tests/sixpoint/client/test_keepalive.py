"""Silent connections, as after a laptop slept, a network changed or a router dropped the connection."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import grpc
import grpc.aio
import pytest

from sixpoint import errors
from sixpoint.client import (
    Answered,
    Client,
    Timeout,
)
from sixpoint.client._transport.channel import CHANNEL_OPTIONS
from tests.sixpoint.client.fake_gateway import (
    EACH_CLIENT,
    POINTS,
    DrawingGateway,
    settled,
)
from tests.support.images import noisy_volume
from tests.support.proxies import Silencer

# Seconds after which a test that hangs fails.
HANG_S = 20.0


@pytest.fixture
def silencer(drawing: DrawingGateway) -> Iterator[Silencer]:
    made = Silencer(drawing.address)
    yield made
    made.close()


def hasty_client(kind: Any, address: str) -> Any:
    """Create a client with the default options, except that keepalive times are 30 times shorter."""
    scaled = ("grpc.keepalive_time_ms", "grpc.keepalive_timeout_ms", "grpc.http2.ping_timeout_ms")
    options = [(name, value // 30 if name in scaled else value) for name, value in CHANNEL_OPTIONS]
    make = grpc.insecure_channel if kind is Client else grpc.aio.insecure_channel
    return kind(address, timeout=Timeout(call=HANG_S), channel=make(address, options=options))


async def next_event(stream: Any) -> Any:
    """Return the next event of a stream of either client."""
    event = anext(stream) if hasattr(stream, "__anext__") else asyncio.to_thread(next, stream)
    return await asyncio.wait_for(event, HANG_S)


@EACH_CLIENT
async def test_a_client_replaces_a_silent_connection(silencer: Silencer, kind: Any) -> None:
    client = hasty_client(kind, silencer.address)
    session = await settled(client.open_session(noisy_volume()))
    silencer.silence()
    assert (await settled(session.annotate(POINTS))).revision == 1
    assert len(silencer.passed) == 2
    await settled(client.close())


@EACH_CLIENT
async def test_a_stream_on_a_silent_connection_ends_with_an_error(silencer: Silencer, kind: Any) -> None:
    client = hasty_client(kind, silencer.address)
    session = await settled(client.open_session(noisy_volume()))
    async with contextlib.AsyncExitStack() as stack:
        stream = session.interact()
        await settled(stack.enter_context(stream) if kind is Client else stack.enter_async_context(stream))
        await settled(stream.send(POINTS))
        assert isinstance(await next_event(stream), Answered)
        silencer.silence()
        with pytest.raises(errors.Unavailable):
            await next_event(stream)
    assert (await settled(session.annotate(POINTS))).revision == 2
    await settled(client.close())
