"""Requests of services that are not sixpoint's, such as health: read in turns, refused in words, and forgotten."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from gateway.core.access import OpenAccess, Role
from gateway.core.runtime.fairness import current_owner
from gateway.grpc.interceptors import CallInterceptor
from gateway.grpc.running_calls import RunningCalls
from gateway.grpc.servicers.health import HealthServicer
from tests.gateway.grpc.servers import DEADLINES


@asynccontextmanager
async def serving(handlers: dict[str, Any]) -> AsyncIterator[grpc.aio.Channel]:
    """A channel to a server of health, and of handlers as ``/other.Test/NAME``."""
    interceptor = CallInterceptor(RunningCalls(), DEADLINES, authenticator=OpenAccess(), role_for=lambda _: Role.VIEWER)
    server = grpc.aio.server(interceptors=[interceptor])
    health_pb2_grpc.add_HealthServicer_to_server(HealthServicer(), server)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("other.Test", handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel
    finally:
        await server.stop(None)


async def test_health_is_asked_and_watched() -> None:
    async with serving({}) as channel:
        stub, request = health_pb2_grpc.HealthStub(channel), health_pb2.HealthCheckRequest()
        assert (await stub.Check(request)).status == health_pb2.HealthCheckResponse.NOT_SERVING
        watch = stub.Watch(request)
        assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
        watch.cancel()
        with pytest.raises(grpc.aio.AioRpcError, match="no service has this name") as caught:
            await stub.Check(health_pb2.HealthCheckRequest(service="x"))
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize(
    ("data", "words"), [(b"\xff", "no message of"), (b"\x0a\x00" * 40_000, "more than 10000 fields")]
)
async def test_damaged_requests_are_invalid_arguments(data: bytes, words: str) -> None:
    async with serving({}) as channel:
        made: Any = channel
        for call in (
            made.unary_unary("/grpc.health.v1.Health/Check")(data),
            made.unary_stream("/grpc.health.v1.Health/Watch")(data).read(),
        ):
            with pytest.raises(grpc.aio.AioRpcError, match=words) as caught:
                await call
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


class Request:
    """A request, which may have 8 MiB of fields that nobody knows."""


async def test_the_request_of_a_refused_call_is_freed_without_the_garbage_collector() -> None:
    requests: list[weakref.ref[Request]] = []

    def read(_: bytes) -> Request:
        request = Request()
        requests.append(weakref.ref(request))
        return request

    async def refuse(request: Request, context: Any) -> None:
        await context.abort(grpc.StatusCode.NOT_FOUND, f"no {type(request).__name__}")

    handlers: dict[str, Any] = {"Refuse": grpc.unary_unary_rpc_method_handler(refuse, request_deserializer=read)}
    gc.disable()
    try:
        async with serving(handlers) as channel:
            call: Any = channel.unary_unary("/other.Test/Refuse")
            with pytest.raises(grpc.aio.AioRpcError, match="no Request"):
                await call(b"")
            # The client knows before the server has ended the call.
            end = time.monotonic() + 10
            while requests[0]() is not None and time.monotonic() < end:
                await asyncio.sleep(0.01)
            assert [reference() for reference in requests] == [None]
    finally:
        gc.enable()


async def test_a_request_is_read_for_its_peer_and_handled_for_nobody() -> None:
    owners: list[str] = []

    def read(data: bytes) -> bytes:
        owners.append(current_owner())
        return data

    async def answer(request: bytes, context: Any) -> bytes:
        owners.append(current_owner())
        return request

    handlers: dict[str, Any] = {"Answer": grpc.unary_unary_rpc_method_handler(answer, request_deserializer=read)}
    async with serving(handlers) as channel:
        call: Any = channel.unary_unary("/other.Test/Answer")
        assert await call(b"x") == b"x"
    assert owners == ["peer 127.0.0.1", ""]


async def test_streams_of_requests_are_left_as_they_are() -> None:
    async def join(requests: AsyncIterator[bytes], context: Any) -> bytes:
        return b"".join([request async for request in requests])

    async def parts() -> AsyncIterator[bytes]:
        yield b"x"
        yield b"y"

    async with serving({"Join": grpc.stream_unary_rpc_method_handler(join)}) as channel:
        made: Any = channel
        assert await made.stream_unary("/other.Test/Join")(parts()) == b"xy"
