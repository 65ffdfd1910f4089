"""Health that is watched: by clients that leave, and by clients that do not read."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from gateway.grpc.servicers.health import HealthServicer

SERVING, AWAY = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
ALL, LIVENESS = health_pb2.HealthCheckRequest(), health_pb2.HealthCheckRequest(service="sixpoint.v1.ImageService")


async def test_watchers_hear_of_changes_after_another_one_has_left() -> None:
    servicer, server = HealthServicer(), grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel, asyncio.timeout(20):
        stub: Any = health_pb2_grpc.HealthStub(channel)
        leaving, staying = stub.Watch(ALL), stub.Watch(ALL)
        assert [(await watch.read()).status for watch in (leaving, staying)] == [AWAY, AWAY]
        leaving.cancel()
        await asyncio.sleep(0.1)
        servicer.set_ready(True)
        assert (await staying.read()).status == SERVING
        assert (await stub.Check(ALL)).status == SERVING
        servicer.stop()
        servicer.set_ready(True)
        assert (await staying.read()).status == AWAY
        assert (await stub.Check(LIVENESS)).status == AWAY
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Check(health_pb2.HealthCheckRequest(service="none"))
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    await server.stop(None)


async def test_a_watcher_that_does_not_read_blocks_no_change() -> None:
    class Deaf:
        """The context of a client whose window is full."""

        async def write(self, response: health_pb2.HealthCheckResponse) -> None:
            await asyncio.Event().wait()

    servicer = HealthServicer()
    watching = asyncio.create_task(servicer.Watch(ALL, Deaf()))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    servicer.set_ready(True)
    assert (await servicer.Check(ALL, Deaf())).status == SERVING  # type: ignore[arg-type]
    servicer.set_ready(False)
    assert (await servicer.Check(ALL, Deaf())).status == AWAY  # type: ignore[arg-type]
    assert (await servicer.Check(LIVENESS, Deaf())).status == SERVING  # type: ignore[arg-type]
    watching.cancel()


async def test_watchers_are_limited_and_a_place_is_free_once_one_has_left() -> None:
    servicer, server = HealthServicer(), grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel, asyncio.timeout(20):
        stub: Any = health_pb2_grpc.HealthStub(channel)
        watchers = [stub.Watch(ALL) for _ in range(64)]
        for watcher in watchers:
            await watcher.read()
        refused = stub.Watch(ALL)
        assert await refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "call Check instead" in await refused.details()
        watchers[0].cancel()
        while await (again := stub.Watch(ALL)).read() is grpc.aio.EOF:
            await asyncio.sleep(0.02)
        again.cancel()
    await server.stop(None)
