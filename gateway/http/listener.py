"""An HTTP port in the gateway's own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator

import uvicorn
from fastapi import FastAPI

from sixpoint.errors import Unavailable

__all__ = ["listening"]

_CONNECTIONS = 64
_IDLE_SECONDS = 5
_HEADER_BYTES = 16 * 2**10


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the gateway, which drains before it stops."""
        yield


@contextlib.asynccontextmanager
async def listening(app: FastAPI, *, host: str, port: int, setting: str) -> AsyncIterator[int]:
    """Serve an application within the context; yields the number of the port.

    Args:
        app: The application.
        host: Address to listen on.
        port: Number of the port; 0 for a free one.
        setting: Name of the setting of the port, for the error message.

    Raises:
        Unavailable: The port is taken.
    """
    try:
        # uvicorn itself would end the process if the port is taken.
        bound = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise Unavailable(
            f"the gateway cannot listen on {host}:{port} ({error.strerror}): choose another port with {setting}"
        ) from None
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        http="h11",
        limit_concurrency=_CONNECTIONS,
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
