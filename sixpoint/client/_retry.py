"""When a call that failed is made again: after how long, and how often."""

from __future__ import annotations

import random
from dataclasses import dataclass

from sixpoint.errors import ResourceExhausted, SixpointError, StorageFull, Unavailable

__all__ = ["Attempts", "Retry"]


@dataclass(frozen=True)
class Retry:
    """How patient a client is while the gateway, Triton or the database is away.

    Only calls that are safe to repeat are repeated: those that read, and those that carry an id of their own, by which
    the gateway knows that it did them already. A busy server is asked again only when it said after how long, one whose
    disk is full never.

    Attributes:
        attempts: Calls at most, the first one included; 1 for none beyond.
        first: Seconds before the second call, at most; each further pause is twice as long, at most.
        most: Seconds of the longest pause of its own choice; what a server asks for is honoured.
    """

    attempts: int = 8
    first: float = 0.1
    most: float = 5.0

    @classmethod
    def none(cls) -> Retry:
        """Every failure is the caller's business."""
        return cls(attempts=1)


class Attempts:
    """The attempts of one call, within its timeout.

    Args:
        retry: How patient to be.
        timeout: Seconds for all of them together.
        now: The clock's present, seconds.
    """

    def __init__(self, retry: Retry, *, timeout: float, now: float) -> None:
        self._retry = retry
        self._end = now + timeout
        self._made = 1

    def remaining(self, now: float) -> float:
        """Seconds left for the next attempt."""
        return max(self._end - now, 0.0)

    def pause(self, error: SixpointError, *, now: float, again: bool = False) -> float | None:
        """Seconds to wait before the next attempt; None when there is to be none.

        Args:
            error: How the last one failed.
            now: The clock's present, seconds.
            again: Whether another attempt is worth it whatever the error.
        """
        said = error.retry_after
        # A full disk is nothing that passes in seconds.
        busy = isinstance(error, ResourceExhausted) and said is not None and not isinstance(error, StorageFull)
        if not (again or busy or isinstance(error, Unavailable)) or self._made >= self._retry.attempts:
            return None
        longest = min(self._retry.first * 2 ** (self._made - 1), self._retry.most)
        # Spread out, so that many clients do not come back in one moment (AWS's "full jitter"); the server's word, too.
        pause = max((said or 0.0) * random.uniform(1.0, 1.25), random.uniform(0.0, longest))
        self._made += 1
        return pause if pause < self.remaining(now) else None
