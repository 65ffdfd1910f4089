"""The two directions of an HTTP connection: a request's body, and its answer, each with limits."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import MutableMapping
from typing import Any

from sixpoint.errors import Cancelled

__all__ = ["AnswerSender", "RequestBody"]

_DISCARD_SECONDS = 5.0


class RequestBody:
    """Receives the body of a request.

    Args:
        receive: ASGI's function to receive a message.

    Attributes:
        complete: Whether all of it has come.
    """

    def __init__(self, receive: Any) -> None:
        self._receive = receive
        self.complete = False

    async def __call__(self) -> MutableMapping[str, Any]:
        """Receive a message."""
        message: MutableMapping[str, Any] = await self._receive()
        self.complete = self.complete or not message.get("more_body", False)
        return message

    async def discard(self, nbytes: int) -> None:
        """Read the rest, within limits: a client that still sends it would not see the answer."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DISCARD_SECONDS):
                while not self.complete and nbytes > 0:
                    nbytes -= len((await self()).get("body", b""))


class AnswerSender:
    """Sends an answer to a client that has to take it.

    Args:
        send: ASGI's function to send a message.
        idle: Seconds within which the client has to take each part.

    Attributes:
        started: Whether the answer has begun.
    """

    def __init__(self, send: Any, *, idle: float) -> None:
        self._send = send
        self._idle = idle
        self.started = False

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        """Send a message.

        Raises:
            Cancelled: The client does not take it.
        """
        self.started = True
        try:
            async with asyncio.timeout(self._idle):
                await self._send(message)
        except TimeoutError:
            raise Cancelled("the client did not take its answer") from None
