"""Read the messages of gRPC's calls in turns by owner."""

from __future__ import annotations

import asyncio
import contextlib
import types
from collections.abc import Coroutine, Generator
from functools import partial
from typing import Any

import grpc.aio

from gateway.core.runtime.fairness import ByteTurns

__all__ = ["MessageTurns"]

_Context = grpc.aio.ServicerContext[Any, Any]
# Whether a read has ended, and what it returned or waits for.
_Progress = tuple[bool, Any]


class MessageTurns(ByteTurns):
    """Lets calls read messages in turns by owner.

    When a message has arrived, gRPC copies it on the event loop, twice, and would never free one that is not copied.
    """

    async def read(self, context: _Context) -> Any:
        """Return the next message of a call, or gRPC's EOF, as ``context.read()`` does.

        Args:
            context: gRPC's own context of the call.
        """
        reading = context.read()
        ended, value = _go_on(reading)
        while not ended:
            take = partial(_go_on, reading)
            try:
                progress = await _wait_for(value, reading)
            except asyncio.CancelledError:
                if _has_arrived(value):
                    self.plan(take)
                raise
            ended, value = progress or await self.take(take)
        return value


def _go_on(reading: Coroutine[Any, Any, Any]) -> _Progress:
    """Let a read go on until it waits again, or ends."""
    try:
        return False, reading.send(None)
    except StopIteration as ended:
        return True, ended.value


def _has_arrived(future: Any) -> bool:
    """Whether a message had arrived when the wait for it was cancelled."""
    return isinstance(future, asyncio.Future) and future.done() and not future.cancelled() and not future.exception()


@types.coroutine
def _wait_for(future: Any, reading: Coroutine[Any, Any, Any]) -> Generator[Any, None, _Progress | None]:
    """Wait, as the running task, for what a read waits for.

    Args:
        future: What the read waits for.
        reading: The read.

    Returns:
        How the read went on after an error: its client is gone, so that there is nothing to copy. None if a message has
        arrived.

    Raises:
        CancelledError: The call was cancelled; the read was not told of it if a message had arrived.
    """
    try:
        yield future
    except asyncio.CancelledError as error:
        if not _has_arrived(future):
            with contextlib.suppress(StopIteration):
                reading.throw(error)
        raise
    except Exception as error:
        try:
            return False, reading.throw(error)
        except StopIteration as ended:
            return True, ended.value
    return None
