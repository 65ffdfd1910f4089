"""The pace at which large messages pass: owners share a rate."""

from __future__ import annotations

import time
from collections.abc import Callable

from gateway.core.runtime.fairness.owner import current_owner

__all__ = ["Pace"]

# gRPC copies a message of 8 MiB several times on the event loop: at full speed two callers keep two cores busy.
_RATE = 32 * 2**20
# Two of the largest messages: what a person sends is not held up.
_BURST = 16 * 2**20
# Clicks are not counted.
_UNCOUNTED_BYTES = 4096
# Of a stream that is opened while its owner is held up: otherwise all of them would go on at the same moment.
_OPENING_BYTES = 2**20


class Pace:
    """Limits the bytes per second that calls read or write.

    An owner may pass some megabytes at once. What is beyond passes at the owner's share of the rate, one message after
    the other, in whichever of its calls they come.

    Args:
        rate: Bytes per second of all owners together.
        burst: Bytes that an owner may pass at once.
        needed: Function that returns whether to hold anybody up. What passes at other times is not counted.
        now: Function that returns the time in seconds.
    """

    def __init__(
        self,
        rate: float = _RATE,
        *,
        burst: int = _BURST,
        needed: Callable[[], bool] = lambda: True,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._rate = rate
        self._burst = burst
        self._needed = needed
        self._now = now
        # For each owner, the time at which what has passed would have done so at its share of the rate.
        self._until: dict[str, float] = {}

    def opened(self) -> float:
        """Return the seconds for which a stream that is opened now reads nothing."""
        owner = current_owner()
        return self._ahead(owner, _OPENING_BYTES) if self._ahead(owner, 0) else 0.0

    def count(self, nbytes: int) -> float:
        """Count a message; return the seconds for which its call passes no other.

        Args:
            nbytes: Bytes of the message.
        """
        return self._ahead(current_owner(), nbytes) if nbytes > _UNCOUNTED_BYTES and self._needed() else 0.0

    def _ahead(self, owner: str, nbytes: int) -> float:
        """Count bytes that passed; return the seconds for which their owner is held up."""
        now = self._now()
        self._until = {other: until for other, until in self._until.items() if until > now}
        share = self._rate / len(self._until.keys() | {owner})
        self._until[owner] = self._until.get(owner, now) + nbytes / share
        return max(0.0, self._until[owner] - now - self._burst / share)
