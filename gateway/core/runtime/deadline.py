"""Deadlines of calls."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Self

from sixpoint.errors import DeadlineExceeded

__all__ = ["Deadline"]


@dataclass(frozen=True)
class Deadline:
    """A moment by which a call must be answered.

    Attributes:
        at: Seconds on the monotonic clock.
    """

    at: float

    @classmethod
    def after(cls, seconds: float) -> Self:
        """Return the deadline ``seconds`` from now."""
        return cls(time.monotonic() + seconds)

    def remaining(self) -> float:
        """Return the seconds left.

        Raises:
            DeadlineExceeded: When the deadline has passed.
        """
        left = self.at - time.monotonic()
        if left <= 0:
            raise DeadlineExceeded("the call's deadline passed")
        return left
