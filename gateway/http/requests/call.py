"""An HTTP call whose caller is known, and the reading of its body."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from fastapi import Request

from gateway.core.access import Auditor, CallLimits, Principal
from gateway.core.runtime import Deadline
from gateway.http.errors import HttpRefusal
from gateway.http.requests.bodies import RequestBody
from sixpoint.errors import Cancelled, DeadlineExceeded

__all__ = ["Call"]

_PROGRESS_BYTES = 2**16


@dataclass(frozen=True)
class Call:
    """An HTTP call whose caller is known.

    Attributes:
        request: The request; its body is read through :meth:`chunks`.
        body: Its body.
        principal: Who makes the call.
        deadline: Moment by which it must be answered.
        route: Method and template of the path.
        idle: Seconds within which the next part of the body must come.
        limits: Limits of what its caller may do in a time.
        auditor: Takes notes of what is refused.
        stack: What ends once the answer was sent.
    """

    request: Request
    body: RequestBody
    principal: Principal
    deadline: Deadline
    route: str
    idle: float
    limits: CallLimits
    auditor: Auditor
    stack: contextlib.AsyncExitStack

    async def chunks(self) -> AsyncIterator[bytes]:
        """Read the body.

        Raises:
            DeadlineExceeded: The next part does not come.
            Cancelled: The client is gone.
        """
        more, arrived = True, 0
        loop = asyncio.get_running_loop()
        until = loop.time() + self.idle
        while more:
            if arrived >= _PROGRESS_BYTES:
                # Less is no progress: a body that trickles would never end.
                until, arrived = loop.time() + self.idle, 0
            # Nobody is late whom the gateway held up.
            until += await self.body.may_receive()
            try:
                async with asyncio.timeout_at(until):
                    message = await self.request.receive()
            except TimeoutError:
                error = DeadlineExceeded(
                    f"less than {_PROGRESS_BYTES // 1024} KiB of the request's body came in {self.idle:g} s "
                    "(SIXPOINT_UPLOAD_IDLE_SECONDS); send it again"
                )
                raise HttpRefusal(408, error) from None
            if message["type"] == "http.disconnect":
                raise Cancelled("the client closed the connection")
            more = message.get("more_body", False)
            if chunk := message.get("body", b""):
                arrived += len(chunk)
                self.limits.count_uploaded(self.principal, len(chunk))
                yield chunk

    @contextlib.asynccontextmanager
    async def while_connected(self) -> AsyncIterator[None]:
        """Run a block until the client is gone; the body must have been read.

        Raises:
            Cancelled: The client is gone.
        """
        scope = asyncio.timeout(None)
        try:
            async with scope:
                watching = asyncio.create_task(self._watch(scope))
                try:
                    yield
                finally:
                    watching.cancel()
        except TimeoutError:
            if not scope.expired():
                raise
            raise Cancelled("the client closed the connection") from None

    async def _watch(self, scope: asyncio.Timeout) -> None:
        while (await self.request.receive())["type"] != "http.disconnect":
            pass
        scope.reschedule(asyncio.get_running_loop().time())
