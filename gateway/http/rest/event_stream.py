"""Answers that are streams of server-sent events."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, MutableMapping
from typing import Any

from fastapi import Response
from fastapi.sse import format_sse_event

from gateway.http.calls import Call
from gateway.http.errors import as_refusal
from gateway.http.rest.messages import NO_STORE
from gateway.http.rest.problems import problem_content

__all__ = ["EVENT_STREAM", "EventReply"]

EVENT_STREAM = "text/event-stream"
"""Media type of these answers."""
# Proxies cut connections that are silent for a minute or so.
_BEAT_SECONDS = 15.0
_BEAT = b": still running\n\n"


class EventReply(Response):
    """Events as they happen, then ``problem`` if they end with an error.

    Args:
        call: The call; nothing more is sent once its client is gone.
        events: The events, as they are sent.
    """

    media_type = EVENT_STREAM

    def __init__(self, call: Call, events: AsyncIterator[bytes]) -> None:
        super().__init__(headers={**NO_STORE, "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._call = call
        self._events = events
        self._turn = asyncio.Lock()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        """Send the events."""
        del scope, receive
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        beating = asyncio.create_task(self._beat(send))
        try:
            async with self._call.while_connected():
                async for event in self._events:
                    await self._write(send, event)
        except Exception as failure:
            refusal = as_refusal(failure)
            await self._write(send, format_sse_event(data_str=json.dumps(problem_content(refusal)), event="problem"))
            await send({"type": "http.response.body", "body": b""})
            raise refusal from failure
        finally:
            beating.cancel()
        await send({"type": "http.response.body", "body": b""})

    async def _beat(self, send: Any) -> None:
        with contextlib.suppress(Exception):
            while True:
                await asyncio.sleep(_BEAT_SECONDS)
                await self._write(send, _BEAT)

    async def _write(self, send: Any, content: bytes) -> None:
        async with self._turn:
            await send({"type": "http.response.body", "body": content, "more_body": True})
