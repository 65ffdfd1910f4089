"""Token buckets, one for each key, in a table that does not grow without bound."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

__all__ = ["Buckets"]

_Key = TypeVar("_Key", bound=Hashable)
_MAX_KEYS = 10_000


class Buckets(Generic[_Key]):
    """A bucket for each key: it holds up to ``burst`` units and is filled with ``rate`` units a second.

    Of more than 10,000 keys, those used least recently are forgotten: their buckets are full again.

    Args:
        rate: Units that flow in each second.
        burst: Units that a full bucket holds.
        clock: Function that returns the time in seconds.
    """

    def __init__(self, rate: float, burst: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        # Key to the units at a time.
        self._levels: OrderedDict[_Key, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._levels)

    def take(self, key: _Key, units: float = 1.0) -> float:
        """Take units if the bucket holds as many; return 0, or the seconds until it does, with nothing taken."""
        level, now = self._level(key)
        missing = units - level
        if missing > 0:
            return missing / self._rate
        self._put(key, level - units, now)
        return 0.0

    def overdraw(self, key: _Key, units: float) -> None:
        """Take units even if the bucket does not hold as many: those missing have to flow in first."""
        level, now = self._level(key)
        self._put(key, level - units, now)

    def wait(self, key: _Key) -> float:
        """Return the seconds until a bucket that was overdrawn is no longer empty; 0 if it is not."""
        level, _ = self._level(key)
        return -level / self._rate if level < 0 else 0.0

    def _level(self, key: _Key) -> tuple[float, float]:
        now = self._clock()
        level, then = self._levels.get(key, (self._burst, now))
        return min(self._burst, level + (now - then) * self._rate), now

    def _put(self, key: _Key, level: float, now: float) -> None:
        self._levels[key] = (level, now)
        self._levels.move_to_end(key)
        if len(self._levels) > _MAX_KEYS:
            self._levels.popitem(last=False)
