"""The two directions of an HTTP connection: a request's body, and its answer, each with limits."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, MutableMapping
from typing import Any

from gateway.core.runtime.fairness import Transfers
from sixpoint.errors import Cancelled

__all__ = ["DEFAULT_HEADERS", "AnswerSender", "RequestBody", "announces_body"]

_DISCARD_SECONDS = 5.0
# Prompts and masks, as over gRPC, are not held up; images are.
_UNPACED_BYTES = 2**20
DEFAULT_HEADERS = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
}
"""Headers of every answer that has none of these names itself: patients' data stay in no cache, and no answer is a page
with scripts."""
_DEFAULTS = [(name.encode(), value.encode()) for name, value in DEFAULT_HEADERS.items()]


def announces_body(scope: MutableMapping[str, Any]) -> bool:
    """Whether a request says that a body follows its headers.

    Args:
        scope: ASGI scope of the request.
    """
    headers = {name.lower(): value for name, value in scope.get("headers", ())}
    return b"transfer-encoding" in headers or headers.get(b"content-length", b"0").strip() not in (b"", b"0")


class RequestBody:
    """Receives the body of a request.

    Args:
        receive: ASGI's function to receive a message.
        transfers: Turns and pace of uploads.

    Attributes:
        complete: Whether all of it has come.
        nbytes: Bytes that have come.
    """

    def __init__(self, receive: Any, transfers: Transfers) -> None:
        self._receive = receive
        self._transfers = transfers
        # Of the last message: the connection reads as many of the next one once it is asked for.
        self._last = 0
        self.complete = False
        self.nbytes = 0

    async def __call__(self) -> MutableMapping[str, Any]:
        """Receive a message."""
        message: MutableMapping[str, Any] = await self._receive()
        self.complete = self.complete or not message.get("more_body", False)
        self._last = len(message.get("body", b""))
        self.nbytes += self._last
        return message

    async def may_receive(self) -> float:
        """Wait until the next message may be received; return the seconds for which the pace held it up."""
        seconds = await self._transfers.keep_pace(self._last) if self.nbytes > _UNPACED_BYTES else 0.0
        await self._transfers.take_turn(self._last)
        return seconds

    async def discard(self, nbytes: int) -> None:
        """Read the rest, within limits: a client that still sends it would not see the answer."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DISCARD_SECONDS):
                while not self.complete and nbytes > 0:
                    await self.may_receive()
                    nbytes -= len((await self()).get("body", b""))


class AnswerSender:
    """Sends an answer to a client that has to take it.

    Args:
        send: ASGI's function to send a message.
        idle: Seconds within which the client has to take each part.
        transfers: Turns and pace of downloads.

    Attributes:
        started: Whether the answer has begun.
        status: HTTP's status code of the answer; 0 before it has begun.
        nbytes: Bytes of its body that were sent.
    """

    def __init__(self, send: Any, *, idle: float, transfers: Transfers) -> None:
        self._send = send
        self._transfers = transfers
        self._idle = idle
        self.started = False
        self.status = 0
        self.nbytes = 0

    async def __call__(self, message: MutableMapping[str, Any]) -> None:
        """Send a message.

        Raises:
            Cancelled: The client does not take it.
        """
        self.started = True
        if message["type"] == "http.response.start":
            self.status = int(message["status"])
            message = {**message, "headers": _with_defaults(message.get("headers", ()))}
        nbytes = len(message.get("body", b""))
        if self.nbytes + nbytes > _UNPACED_BYTES:
            await self._transfers.keep_pace(nbytes)
        if nbytes:
            await self._transfers.take_turn(nbytes)
        try:
            async with asyncio.timeout(self._idle):
                await self._send(message)
        except TimeoutError:
            raise Cancelled("the client did not take its answer") from None
        self.nbytes += nbytes


def _with_defaults(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    given = [(name.lower(), value) for name, value in headers]
    names = {name for name, _ in given}
    return [*given, *((name, value) for name, value in _DEFAULTS if name not in names)]
