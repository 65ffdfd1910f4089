"""Begin requests in turns: few in each iteration of the event loop, however many came together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from gateway.core.runtime.fairness import Transfers

__all__ = ["InTurns"]

_Application = Callable[[MutableMapping[str, Any], Any, Any], Awaitable[None]]


class InTurns:
    """An ASGI application whose requests begin in turns.

    Each takes the event loop 0.2 ms and more before it first waits for something. Of 200 that came over as many
    connections all began in one iteration, and kept it from everything else for 50 ms.

    Args:
        application: The application.
        transfers: The turns, which are those of gRPC's messages, too.
    """

    def __init__(self, application: _Application, transfers: Transfers) -> None:
        self._application = application
        self._transfers = transfers

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        """Handle a request, once it is its turn."""
        # Only its beginning: nothing was read of it yet.
        await self._transfers.take_turn(0)
        await self._application(scope, receive, send)
