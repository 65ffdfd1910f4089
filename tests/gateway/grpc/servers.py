"""A gRPC server with the gateway's options and interceptor, and handlers of a test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import grpc
import grpc.aio

from gateway.core.access import NO_AUDIT, Auditor, Authenticator, OpenAccess, Role
from gateway.core.runtime import DeadlineLimits
from gateway.grpc.interceptors import CallDeadlines, CallInterceptor
from gateway.grpc.running_calls import RunningCalls
from gateway.grpc.server import ConnectionLimits, create_server
from gateway.grpc.tls.port import listen

_LIMITS = DeadlineLimits(9.0, 9.0, "X_SECONDS")
DEADLINES = CallDeadlines(call=_LIMITS, upload=_LIMITS, segmentation=_LIMITS, stream=_LIMITS)

CONNECTIONS = ConnectionLimits(count=100, idle=60.0, age=0.0, grace=60.0)


@asynccontextmanager
async def serving(
    handlers: dict[str, Any],
    *,
    deadlines: CallDeadlines = DEADLINES,
    limits: ConnectionLimits = CONNECTIONS,
    authenticator: Authenticator | None = None,
    role: Role = Role.VIEWER,
    auditor: Auditor = NO_AUDIT,
) -> AsyncIterator[str]:
    """Serve handlers as ``/sixpoint.Test/NAME``; yield the address."""
    interceptor = CallInterceptor(
        RunningCalls(),
        deadlines,
        authenticator=authenticator or OpenAccess(),
        role_for=lambda _: role,
        auditor=auditor,
    )
    server = create_server(interceptor, limits)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("sixpoint.Test", handlers)])
    port = listen(server, host="127.0.0.1", port=0, certificate=None, setting="SIXPOINT_PORT")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


def with_maximum(seconds: float) -> CallDeadlines:
    """Deadlines of which a client may set none that is later."""
    limits = {
        kind: DeadlineLimits(seconds / 2, seconds, f"{kind.upper()}_SECONDS")
        for kind in ("call", "upload", "segmentation", "stream")
    }
    return replace(DEADLINES, **limits)
