"""The calls that run, and how they end when the gateway stops."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc.aio

__all__ = ["RunningCalls"]

_PARTING_S = 0.2


class RunningCalls:
    """Counts the calls that a stopping gateway waits for: those of sixpoint's services, and no watchers of health.

    Attributes:
        stopping: Set once the gateway stops; a stream that waits for its client then ends by itself.
    """

    def __init__(self) -> None:
        self.stopping = asyncio.Event()
        self._count = 0
        self._none = asyncio.Event()
        self._none.set()

    def add(self, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        """Count a call until its status was sent."""
        self._count += 1
        self._none.clear()
        context.add_done_callback(self._remove)  # type: ignore[arg-type]  # the stubs take no function

    def _remove(self, _: object) -> None:
        self._count -= 1
        if not self._count:
            self._none.set()

    async def stop(self, server: grpc.aio.Server, *, seconds: float) -> None:
        """Refuse new calls, wait for those that run, then end whatever else is open.

        Args:
            server: Server of the calls.
            seconds: Seconds after which running calls are ended, too.
        """
        self.stopping.set()
        refusing = asyncio.create_task(server.stop(seconds))
        waiting = asyncio.create_task(self._none.wait())
        await asyncio.wait({refusing, waiting}, return_when=asyncio.FIRST_COMPLETED)
        # Without other calls gRPC stops within this time, and parts from its connections in peace.
        await asyncio.wait({refusing}, timeout=_PARTING_S)
        # gRPC would wait for watchers of health and open reflection streams, too, which nobody may ever end.
        for task in (refusing, waiting):
            task.cancel()
        await asyncio.gather(refusing, waiting, return_exceptions=True)
        await server.stop(None)
