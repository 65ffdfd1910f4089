"""An HTTP port in the gateway's own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from sixpoint.errors import Unavailable
from sixpoint.protocol import Address

__all__ = ["listening"]

_CONNECTIONS = 64
_IDLE_SECONDS = 5
_HEADER_BYTES = 16 * 2**10


class _Connection(H11Protocol):
    """A connection of a port where the oldest one gives way: connections that never end a request shut nobody out."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.opened = self.loop.time()
        mine = [other for other in self.connections if isinstance(other, _Connection)]
        still_open = [other for other in mine if not other.transport.is_closing()]
        if len(still_open) > _CONNECTIONS:
            min(still_open, key=lambda other: other.opened).transport.abort()


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the gateway, which drains before it stops."""
        yield


@contextlib.asynccontextmanager
async def listening(app: FastAPI, *, host: str, port: int, setting: str) -> AsyncIterator[int]:
    """Serve an application within the context; yields the number of the port.

    At most 64 connections are open; for a further one, the oldest is closed.

    Args:
        app: The application.
        host: Address to listen on, an IPv6 address without brackets.
        port: Number of the port; 0 for a free one.
        setting: Name of the setting of the port, for the error message.

    Raises:
        Unavailable: The port is taken.
    """
    try:
        # uvicorn itself would end the process if the port is taken.
        bound = socket.create_server(
            (host, port),
            family=socket.AF_INET6 if ":" in host else socket.AF_INET,
            # As gRPC does.
            dualstack_ipv6=host == "::" and socket.has_dualstack_ipv6(),
        )
    except OSError:
        raise Unavailable(
            f"the gateway cannot listen on {Address(host, port)}: the port is taken, or the address is not this "
            f"machine's. Choose another port with {setting}"
        ) from None
    config = uvicorn.Config(
        app,
        log_config=None,
        # Not a line for each request that is none: anyone who reaches the port could fill the log.
        log_level="error",
        access_log=False,
        lifespan="off",
        ws="none",
        http=_Connection,
        # So many connections are accepted before the first of them gives way.
        backlog=_CONNECTIONS,
        timeout_keep_alive=_IDLE_SECONDS,
        timeout_graceful_shutdown=1,
        h11_max_incomplete_event_size=_HEADER_BYTES,
        server_header=False,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[bound]))
    try:
        yield int(bound.getsockname()[1])
    finally:
        server.should_exit = True
        await serving
        bound.close()
