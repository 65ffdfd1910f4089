"""Limits of connections: how many there are, and how long one without a call stays."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from gateway.grpc.messages.decoding import Received
from sixpoint.v1 import image_service_pb2_grpc as image_grpc
from tests.gateway.grpc.servers import CONNECTIONS, serving
from tests.gateway.grpc.test_images import NOWHERE, upload
from tests.gateway.process import GatewayProcess
from tests.support.images import noisy_volume
from tests.support.proxies import Proxy


async def echo(request: bytes, context: Any) -> bytes:
    return request


ECHO: dict[str, Any] = {"Echo": grpc.unary_unary_rpc_method_handler(echo)}
# A connection of its own for each channel.
OWN = (("grpc.use_local_subchannel_pool", 1), ("grpc.initial_reconnect_backoff_ms", 100))


def echo_of(channel: grpc.aio.Channel) -> Any:
    return channel.unary_unary("/sixpoint.Test/Echo")


async def test_connections_beyond_the_limit_are_refused_until_others_have_left() -> None:
    async with serving(ECHO, limits=replace(CONNECTIONS, count=2)) as address, contextlib.AsyncExitStack() as stack:
        channels = [grpc.aio.insecure_channel(address, options=OWN) for _ in range(3)]
        for channel in channels:
            stack.push_async_callback(channel.close)
        assert [await echo_of(channel)(b"x") for channel in channels[:2]] == [b"x", b"x"]
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await echo_of(channels[2])(b"x", timeout=5)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert await echo_of(channels[0])(b"x") == b"x"
        await channels[0].close()
        assert await echo_of(channels[2])(b"x", timeout=10, wait_for_ready=True) == b"x"


async def test_a_connection_without_a_call_is_closed_and_the_client_connects_again() -> None:
    async with (
        serving(ECHO, limits=replace(CONNECTIONS, idle=0.3)) as address,
        grpc.aio.insecure_channel(address, options=OWN) as channel,
        asyncio.timeout(20),
    ):
        assert await echo_of(channel)(b"x") == b"x"
        state = grpc.ChannelConnectivity.READY
        while channel.get_state() is state:
            await channel.wait_for_state_change(state)
        assert await echo_of(channel)(b"y") == b"y"


async def echo_all(requests: AsyncIterator[Received[bytes]], context: Any) -> None:
    async for request in requests:
        await context.write(request.content)


AGING = ECHO | {"EchoAll": grpc.stream_stream_rpc_method_handler(echo_all)}
AGE_S = 0.3


async def test_no_call_fails_when_connections_are_closed_for_their_age() -> None:
    limits = replace(CONNECTIONS, age=AGE_S)
    async with serving(AGING, limits=limits) as target, asyncio.timeout(60):
        proxy = Proxy(target)
        loop = asyncio.get_running_loop()
        async with grpc.aio.insecure_channel(proxy.address, options=OWN) as channel:
            stream: Any = channel.stream_stream("/sixpoint.Test/EchoAll")()
            await stream.write(b"begin")
            assert await stream.read() == b"begin"
            end = loop.time() + 10 * AGE_S

            async def call() -> int:
                answered = 0
                while loop.time() < end:
                    assert await echo_of(channel)(b"x") == b"x"
                    answered += 1
                return answered

            assert sum(await asyncio.gather(*(call() for _ in range(8)))) > 100
            # Connections were closed, and a stream that runs is not cut.
            assert len(proxy.passed) > 3
            await stream.write(b"end")
            assert await stream.read() == b"end"
            await stream.done_writing()
            assert await stream.read() is grpc.aio.EOF
        proxy.close()


async def test_a_stream_is_cut_after_the_grace() -> None:
    limits = replace(CONNECTIONS, age=AGE_S, grace=AGE_S)
    async with (
        serving(AGING, limits=limits) as address,
        grpc.aio.insecure_channel(address, options=OWN) as channel,
        asyncio.timeout(20),
    ):
        stream: Any = channel.stream_stream("/sixpoint.Test/EchoAll")()
        await stream.write(b"begin")
        assert await stream.read() == b"begin"
        assert await stream.code() is grpc.StatusCode.UNAVAILABLE
        assert await echo_of(channel)(b"x") == b"x"


def test_silent_connections_leave_files_to_open(tmp_path: Path) -> None:
    process = GatewayProcess(NOWHERE, tmp_path, prefix=("prlimit", "--nofile=256:256"))
    process.start(wait=False)
    try:
        with grpc.insecure_channel(process.address) as channel, contextlib.ExitStack() as stack:
            grpc.channel_ready_future(channel).result(30)
            for _ in range(300):
                stack.enter_context(socket.create_connection(("127.0.0.1", process.port), timeout=5))
            image_grpc.ImageServiceStub(channel).UploadImage(upload(noisy_volume()), timeout=20)
            assert len(list(Path(f"/proc/{process.running.pid}/fd").iterdir())) < 250
    finally:
        process.kill()
