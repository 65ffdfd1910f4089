"""Reflection: answered as ever, and limited."""

from __future__ import annotations

from typing import Any

import grpc
import grpc.aio
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

from gateway.grpc.reflection import ReflectionInterceptor

LIST = reflection_pb2.ServerReflectionRequest(list_services="")


async def test_streams_are_limited_and_end_when_nothing_is_asked() -> None:
    server = grpc.aio.server(interceptors=[ReflectionInterceptor(idle_seconds=2.0)])
    reflection.enable_server_reflection((reflection.SERVICE_NAME,), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
        streams = [stub.ServerReflectionInfo() for _ in range(16)]
        for stream in streams:
            await stream.write(LIST)
            assert (await stream.read()).list_services_response.service[0].name == reflection.SERVICE_NAME
        assert await stub.ServerReflectionInfo().code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        for stream in streams:
            assert await stream.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        again = stub.ServerReflectionInfo()
        await again.write(LIST)
        assert (await again.read()).list_services_response.service
        await again.done_writing()
        assert await again.code() is grpc.StatusCode.OK
    await server.stop(None)
