"""The moment by which a call must be answered."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Self

from sixpoint.errors import DeadlineExceeded

__all__ = ["Deadline"]


@dataclass(frozen=True)
class Deadline:
    """A moment on the monotonic clock, seconds."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> Self:
        """The moment ``seconds`` from now."""
        return cls(time.monotonic() + seconds)

    def remaining(self) -> float:
        """Seconds left.

        Raises:
            DeadlineExceeded: When there are none.
        """
        left = self.at - time.monotonic()
        if left <= 0:
            raise DeadlineExceeded("the call's deadline passed")
        return left
