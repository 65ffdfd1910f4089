"""Limits of connections: how many there are, and how long one without a call stays."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from sixpoint.v1 import image_service_pb2_grpc as image_grpc
from tests.gateway.grpc.servers import serving
from tests.gateway.grpc.test_images import NOWHERE, upload
from tests.gateway.process import GatewayProcess
from tests.support.images import noisy_volume


async def echo(request: bytes, context: Any) -> bytes:
    return request


ECHO: dict[str, Any] = {"Echo": grpc.unary_unary_rpc_method_handler(echo)}
# A connection of its own for each channel.
OWN = (("grpc.use_local_subchannel_pool", 1), ("grpc.initial_reconnect_backoff_ms", 100))


def echo_of(channel: grpc.aio.Channel) -> Any:
    return channel.unary_unary("/sixpoint.Test/Echo")


async def test_connections_beyond_the_limit_are_refused_until_others_have_left() -> None:
    async with serving(ECHO, max_connections=2) as address, contextlib.AsyncExitStack() as stack:
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
        serving(ECHO, idle_seconds=0.3) as address,
        grpc.aio.insecure_channel(address, options=OWN) as channel,
        asyncio.timeout(20),
    ):
        assert await echo_of(channel)(b"x") == b"x"
        state = grpc.ChannelConnectivity.READY
        while channel.get_state() is state:
            await channel.wait_for_state_change(state)
        assert await echo_of(channel)(b"y") == b"y"


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
