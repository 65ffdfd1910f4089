"""An HTTP port in the gateway's own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from gateway.http.identity import CERTIFICATE_NAMES
from gateway.http.tls import HttpsContext, certificate_names
from sixpoint.errors import Unavailable
from sixpoint.protocol import Address

__all__ = ["PortLimits", "listening"]

_HEADER_BYTES = 16 * 2**10


@dataclass(frozen=True, kw_only=True)
class PortLimits:
    """Limits of the connections to a port.

    Attributes:
        connections: Limit for open connections; for a further one, the oldest one without a request is closed.
        idle: Seconds after an answer within which the next request must come.
        drain: Seconds for which running requests may go on when the port is closed.
    """

    connections: int = 64
    idle: int = 5
    drain: int = 1


class _Connection(H11Protocol):
    """A connection of a port where the oldest one gives way: connections that never end a request shut nobody out."""

    limit = PortLimits.connections

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # asyncio does it for sockets that say their protocol only. Without, the body of an answer, which is sent after
        # its head, waits up to 40 ms for the client's word that the head came.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.opened = self.loop.time()
        names = certificate_names(transport.get_extra_info("ssl_object"))
        if names:
            self.app_state = {**self.app_state, CERTIFICATE_NAMES: names}
        mine = [other for other in self.connections if isinstance(other, _Connection)]
        still_open = [other for other in mine if not other.transport.is_closing()]
        if len(still_open) > self.limit:
            min(still_open, key=lambda other: (other.answering, other.opened)).transport.abort()

    @property
    def answering(self) -> bool:
        """Whether a request is being answered."""
        return self.cycle is not None and not self.cycle.response_complete


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the gateway, which drains before it stops."""
        yield


@contextlib.asynccontextmanager
async def listening(
    app: Any,
    *,
    host: str,
    port: int,
    setting: str,
    limits: PortLimits | None = None,
    tls: HttpsContext | None = None,
) -> AsyncIterator[int]:
    """Serve an application within the context; yields the number of the port.

    Args:
        app: The application, of ASGI.
        host: Address to listen on, an IPv6 address without brackets.
        port: Number of the port; 0 for a free one.
        setting: Name of the setting of the port, for the error message.
        limits: Limits of connections; None for those of a port of operators.
        tls: TLS of the port; None to listen without.

    Raises:
        Unavailable: The port is taken.
    """
    limits = limits or PortLimits()
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
    server = _Server(_config(app, limits, tls))
    serving = asyncio.create_task(server.serve(sockets=[bound]))
    try:
        yield int(bound.getsockname()[1])
    finally:
        server.should_exit = True
        await serving
        bound.close()


def _config(app: Any, limits: PortLimits, tls: HttpsContext | None) -> uvicorn.Config:
    def context(*_: object) -> ssl.SSLContext:
        assert tls is not None
        return tls.context

    return uvicorn.Config(
        app,
        log_config=None,
        # Not a line for each request that is none: anyone who reaches the port could fill the log.
        log_level="error",
        access_log=False,
        lifespan="off",
        ws="none",
        http=type("_LimitedConnection", (_Connection,), {"limit": limits.connections}),
        # So many connections are accepted before the first of them gives way.
        backlog=limits.connections,
        timeout_keep_alive=limits.idle,
        timeout_graceful_shutdown=limits.drain,
        h11_max_incomplete_event_size=_HEADER_BYTES,
        server_header=False,
        # Behind a proxy the peer is the proxy: what it says about others is no proof.
        proxy_headers=False,
        ssl_context_factory=context if tls else None,
    )
