"""Pass bytes in turns by owner: few in each iteration of the event loop, whosever they are."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from gateway.core.runtime.fairness.owner import current_owner

__all__ = ["ByteTurns"]

# Beyond this, further messages wait for the next iteration: at most this and one message of 8 MiB, about 4 ms.
_ITERATION_BYTES = 2**20
# What a message costs besides its bytes: its call goes on, for 0.1 ms and more. Of a thousand clicks that arrived
# together 250 went on at once, and kept the loop for 50 ms, when this was 4 KiB.
_MESSAGE_BYTES = 2**15

# Whether a transfer has ended, and what it returned or waits for.
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


class ByteTurns:
    """Lets calls pass messages on in turns by owner.

    The event loop copies each message several times: 8 MiB in 3 ms. Those of 64 calls that came together would keep it
    from everything else for 0.2 s. Here they wait for a turn before they are copied. The next message is that of the
    owner with the fewest bytes so far.

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

    async def wait(self, nbytes: int) -> None:
        """Wait until it is the caller's turn to pass a message on.

        Args:
            nbytes: Bytes of the message.
        """
        await self.take(lambda: (True, nbytes))

    async def take(self, take: Callable[[], _Progress]) -> _Progress:
        """Call a function that copies a message once it is the caller's turn; return what it returned.

        Args:
            take: The function; returns whether all is done, and the message or what to wait for.
        """
        if not self._waiting and self._nbytes < self._limit:
            return self._take(current_owner(), take)
        return await self.plan(take)

    def plan(self, take: Callable[[], _Progress]) -> asyncio.Future[_Progress]:
        """As :meth:`take`, in a later iteration, also if the caller is cancelled meanwhile."""
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
