"""Pass messages between gRPC and calls in turns: few bytes in each iteration of the event loop, whosever they are."""

from __future__ import annotations

import asyncio
import contextlib
import types
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import grpc.aio

from gateway.core.runtime.fairness import current_owner

__all__ = ["MessageTurns"]

# Beyond this, further messages wait for the next iteration: at most this and one message of 8 MiB, about 4 ms.
_ITERATION_BYTES = 2**20
# What a message costs besides its bytes: its call goes on, for 0.1 ms and more. Of a thousand clicks that arrived
# together 250 went on at once, and kept the loop for 50 ms, when this was 4 KiB.
_MESSAGE_BYTES = 2**15

_Context = grpc.aio.ServicerContext[Any, Any]
# Whether a read has ended, and what it returned or waits for.
_Progress = tuple[bool, Any]


@dataclass(eq=False)
class _Arrived:
    """A message that has arrived, and is not copied yet.

    Attributes:
        take: Function that copies it.
        taken: Future of what the function returns.
    """

    take: Callable[[], _Progress]
    taken: asyncio.Future[_Progress] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class MessageTurns:
    """Lets calls read messages, or write them, in turns by owner.

    When a message has arrived, gRPC copies it on the event loop, twice: 8 MiB in 3 ms. Messages of 64 uploads that
    arrived together kept the loop from everything else for 0.2 s. Here they wait for a turn before they are copied. The
    next message is that of the owner with the fewest bytes so far.

    Args:
        nbytes: Bytes after which further messages wait for the next iteration of the event loop.
    """

    def __init__(self, nbytes: int = _ITERATION_BYTES) -> None:
        self._limit = nbytes
        self._nbytes = 0
        self._planned = False
        self._waiting: dict[str, deque[_Arrived]] = {}
        # Bytes of each owner while messages wait; a newcomer starts where the last one served was.
        self._read: dict[str, int] = {}
        self._least = 0

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
                    self._plan(take)
                raise
            ended, value = progress or await self._in_turn(take)
        return value

    async def may_write(self, nbytes: int) -> None:
        """Wait until it is the caller's turn to write a message, which is copied as often as one that is read.

        Args:
            nbytes: Bytes of the message.
        """
        await self._in_turn(lambda: (True, nbytes))

    async def _in_turn(self, take: Callable[[], _Progress]) -> _Progress:
        if not self._waiting and self._nbytes < self._limit:
            return self._take(current_owner(), take)
        return await self._plan(take)

    def _plan(self, take: Callable[[], _Progress]) -> asyncio.Future[_Progress]:
        """Copy a message once it is its turn, also if its call is cancelled meanwhile: gRPC would never free it."""
        arrived = _Arrived(take)
        self._waiting.setdefault(current_owner(), deque()).append(arrived)
        self._plan_iteration()
        return arrived.taken

    def _plan_iteration(self) -> None:
        if not self._planned:
            self._planned = True
            asyncio.get_running_loop().call_soon(self._next_iteration)

    def _take(self, owner: str, take: Callable[[], _Progress]) -> _Progress:
        ended, message = take()
        nbytes = _MESSAGE_BYTES + _size(message)
        self._nbytes += nbytes
        self._least = max(self._least, self._read.get(owner, 0))
        self._read[owner] = self._least + nbytes
        self._plan_iteration()
        return ended, message

    def _next_iteration(self) -> None:
        self._planned, self._nbytes = False, 0
        while self._waiting and self._nbytes < self._limit:
            owner = min(self._waiting, key=lambda name: max(self._read.get(name, 0), self._least))
            arrived = self._waiting[owner].popleft()
            if not self._waiting[owner]:
                del self._waiting[owner]
            self._hand_over(owner, arrived)
        if not self._waiting:
            self._read.clear()
            self._least = 0

    def _hand_over(self, owner: str, arrived: _Arrived) -> None:
        try:
            progress = self._take(owner, arrived.take)
        except Exception as error:
            if not arrived.taken.cancelled():
                arrived.taken.set_exception(error)
                # Retrieved even if the call is cancelled at this moment, or asyncio would log it.
                arrived.taken.exception()
        else:
            if not arrived.taken.cancelled():
                arrived.taken.set_result(progress)


def _size(message: object) -> int:
    """Bytes of a message that was read, or the number of those to write."""
    if isinstance(message, bytes):
        return len(message)
    return message if isinstance(message, int) else 0


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
