"""End streams of requests that stand still."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from sixpoint.errors import DeadlineExceeded, SixpointError, Unavailable

__all__ = ["IdleGuard", "IdleLimit"]


_RETRY_S = 1.0
# Part of the limit after which a stream gives way to others that wait.
_PATIENCE = 1 / 6
_LOOK_S = 1.0


_Message = TypeVar("_Message")


@dataclass(frozen=True)
class IdleLimit:
    """How long a stream may wait for its client.

    Attributes:
        seconds: Seconds within which the next bytes must arrive.
        setting: Name of the setting that sets them.
        advice: What to do after the stream was ended, as the end of an error message.
        nbytes: Number of bytes that must arrive within that time; 0 if any message will do.
        crowded: Function that returns whether others wait for the stream to end. Then it has a sixth of the time.
    """

    seconds: float
    setting: str
    advice: str
    nbytes: int = 0
    crowded: Callable[[], bool] = lambda: False


class IdleGuard:
    """Ends one stream that stands still.

    Args:
        limit: How long it may wait for its client.
    """

    def __init__(self, limit: IdleLimit) -> None:
        self._limit = limit
        self._left = limit.seconds
        self._nbytes = 0
        self._gives_way = False

    async def guard(self, messages: AsyncIterator[_Message]) -> AsyncIterator[_Message]:
        """Yield the messages of a stream until it stands still. Time that the caller takes for them does not count.

        Args:
            messages: Messages of the stream.

        Raises:
            DeadlineExceeded: Nothing, or too little, arrived for too long.
            Unavailable: Nothing, or too little, arrived for a while, and others wait.
        """
        while True:
            # Nothing here refers to a message once it is handed on: it may be large, and the next one takes long.
            received: list[_Message] = []
            try:
                async with asyncio.timeout(self._left) as scope:
                    with self._watch(scope):
                        received.append(await anext(messages))
            except StopAsyncIteration:
                return
            except TimeoutError:
                if not scope.expired():
                    raise
                raise self._error() from None
            if not self._limit.nbytes:
                self.arrived(0)
            yield received.pop()

    def arrived(self, nbytes: int) -> None:
        """Count bytes that have arrived; enough of them start the time anew."""
        self._nbytes += nbytes
        if self._nbytes >= self._limit.nbytes:
            self._nbytes, self._left = 0, self._limit.seconds

    @contextmanager
    def _watch(self, scope: asyncio.Timeout) -> Iterator[None]:
        """Count the time within the context, and end the scope early if others wait."""
        limit, loop = self._limit, asyncio.get_running_loop()
        started, patience = loop.time(), _PATIENCE * limit.seconds
        check: asyncio.TimerHandle

        def look() -> None:
            nonlocal check
            if limit.crowded():
                self._gives_way = True
                scope.reschedule(loop.time())
            else:
                check = loop.call_later(min(_LOOK_S, patience), look)

        check = loop.call_later(max(0.0, self._left - (limit.seconds - patience)), look)
        try:
            yield
        finally:
            check.cancel()
            self._left = max(0.0, self._left - (loop.time() - started))

    def _error(self) -> SixpointError:
        limit = self._limit
        what = f"only {self._nbytes} bytes" if self._nbytes else "nothing"
        if self._gives_way:
            return Unavailable(f"{what} arrived for a while, and others wait; {limit.advice}", retry_after=_RETRY_S)
        return DeadlineExceeded(f"{what} arrived for {limit.seconds:g} s, the limit ({limit.setting}); {limit.advice}")
