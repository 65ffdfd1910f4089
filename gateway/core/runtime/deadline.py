"""Deadlines of calls, and how far away a client may set them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Self

from sixpoint.errors import DeadlineExceeded

__all__ = ["Deadline", "DeadlineLimits"]


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


@dataclass(frozen=True)
class DeadlineLimits:
    """How long a kind of call may take.

    Attributes:
        default: Seconds for a call without a deadline.
        maximum: Seconds for a call whose deadline is later; the default if that is more.
        setting: Setting of the default without ``SIXPOINT_``, such as ``CALL_SECONDS``; that of the maximum has
            ``MAX_`` before it.
    """

    default: float
    maximum: float
    setting: str

    def seconds(self, remaining: float | None) -> float:
        """Return the seconds that a call may take.

        Args:
            remaining: Seconds until the client's deadline; None if it set none.
        """
        return self.default if remaining is None else min(remaining, max(self.default, self.maximum))

    def error(self, remaining: float | None) -> DeadlineExceeded:
        """Return the error for a call that took longer.

        Args:
            remaining: Seconds until the client's deadline, when the call began; None if it set none.
        """
        allowed = f"{self.seconds(remaining):g} s"
        if remaining is None:
            return DeadlineExceeded(
                f"the call took longer than the {allowed} that the gateway allows for calls without a deadline "
                f"(SIXPOINT_{self.setting}); set a deadline to allow more"
            )
        return DeadlineExceeded(
            f"the call took longer than the {allowed} that the gateway allows at most (SIXPOINT_MAX_{self.setting})"
        )
