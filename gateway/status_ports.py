"""The gateway's ports for operators: health over gRPC without TLS, and HTTP with liveness, readiness and metrics."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping

import grpc.aio
from grpc_health.v1 import health_pb2_grpc

from gateway.grpc.servicers.health import HealthServicer
from gateway.grpc.tls.port import listen
from gateway.http.listener import listening
from gateway.http.status import status_app
from gateway.observability.metrics import Metrics
from gateway.settings import Settings

__all__ = ["status_ports"]


@contextlib.asynccontextmanager
async def status_ports(
    settings: Settings, *, health: HealthServicer, metrics: Metrics, parts: Callable[[], Mapping[str, bool]]
) -> AsyncIterator[dict[str, int]]:
    """Listen on the ports that the settings name, within the context; yields their numbers by name.

    Args:
        settings: Settings of the gateway.
        health: Health of the gateway and its services.
        metrics: Metrics of the gateway.
        parts: Function that returns, for each part that prompts need, whether it can be used now.

    Raises:
        Unavailable: A port is taken.
    """
    ports = {}
    async with contextlib.AsyncExitStack() as stack:
        if settings.health_port is not None:
            server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
            health_pb2_grpc.add_HealthServicer_to_server(health, server)
            ports["health"] = listen(
                server,
                host=settings.host,
                port=settings.health_port,
                certificate=None,
                setting="SIXPOINT_HEALTH_PORT",
            )
            await server.start()
            stack.push_async_callback(server.stop, None)
        if settings.status_port is not None:
            app = status_app(metrics=metrics.render, parts=parts)
            ports["status"] = await stack.enter_async_context(
                listening(app, host=settings.host, port=settings.status_port, setting="SIXPOINT_STATUS_PORT")
            )
        yield ports
