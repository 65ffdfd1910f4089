"""How long a client waits for a call, and when it repeats one that failed."""

from __future__ import annotations

import random
from dataclasses import dataclass

from sixpoint.errors import ResourceExhausted, SixpointError, StorageFull, Unavailable

__all__ = ["Attempts", "Retry", "Timeout"]


@dataclass(frozen=True)
class Timeout:
    """Seconds to wait for an answer, all attempts together.

    Attributes:
        call: Seconds for one call, such as a prompt.
        upload: Seconds for the upload of an image.
        segment: Seconds for the segmentation of a whole image.
    """

    call: float = 60.0
    upload: float = 600.0
    segment: float = 1800.0


@dataclass(frozen=True, init=False)
class Retry:
    """How a client repeats calls while the gateway, Triton or the database is unavailable.

    A call is repeated only where that is safe: it reads, or it carries a request id by which the gateway recognises a
    change that it has already made. A busy server is asked again only when its error says after how long. A server
    whose disk is full is not asked again.

    Attributes:
        attempts: Maximum number of attempts, including the first; 1 disables retries.
        initial_backoff: Longest pause before the second attempt, in seconds. It doubles with each further attempt.
        max_backoff: Upper bound of that pause, in seconds. A longer pause that the server asks for is respected.
    """

    attempts: int
    initial_backoff: float
    max_backoff: float

    def __init__(
        self,
        attempts: int = 8,
        initial_backoff: float = 0.1,
        max_backoff: float = 5.0,
        *,
        first: float | None = None,
        most: float | None = None,
    ) -> None:
        """Create a retry policy.

        Args:
            attempts: Maximum number of attempts, including the first.
            initial_backoff: Longest pause before the second attempt, in seconds.
            max_backoff: Upper bound of a pause, in seconds.
            first: Deprecated name of ``initial_backoff``.
            most: Deprecated name of ``max_backoff``.
        """
        # The dataclass is frozen, so its own __init__ would assign the same way.
        object.__setattr__(self, "attempts", attempts)
        object.__setattr__(self, "initial_backoff", initial_backoff if first is None else first)
        object.__setattr__(self, "max_backoff", max_backoff if most is None else most)

    @property
    def first(self) -> float:
        """Deprecated name of ``initial_backoff``."""
        return self.initial_backoff

    @property
    def most(self) -> float:
        """Deprecated name of ``max_backoff``."""
        return self.max_backoff

    @classmethod
    def none(cls) -> Retry:
        """Return a policy without retries: every failure is raised at once."""
        return cls(attempts=1)


class Attempts:
    """Count the attempts of one call and decide how long to pause between them.

    Args:
        retry: Policy to follow.
        timeout: Seconds for all attempts together.
        now: Current time of a monotonic clock, in seconds.
    """

    def __init__(self, retry: Retry, *, timeout: float, now: float) -> None:
        self._retry = retry
        self._deadline = now + timeout
        self._count = 1

    def remaining(self, now: float) -> float:
        """Return the seconds left until the deadline, at least 0."""
        return max(self._deadline - now, 0.0)

    def pause(self, error: SixpointError, *, now: float, force: bool = False) -> float | None:
        """Return the seconds to wait before the next attempt, or None if the error is final.

        Args:
            error: Error of the last attempt.
            now: Current time of the monotonic clock, in seconds.
            force: Whether to retry even after an error that normally is final.
        """
        retry_after = error.retry_after
        # A full disk does not become free within seconds.
        busy = isinstance(error, ResourceExhausted) and retry_after is not None and not isinstance(error, StorageFull)
        if not (force or busy or isinstance(error, Unavailable)) or self._count >= self._retry.attempts:
            return None
        backoff = min(self._retry.initial_backoff * 2 ** (self._count - 1), self._retry.max_backoff)
        # Random, so that many clients do not come back at the same moment (AWS's "full jitter"). The pause that a
        # server asks for is spread as well.
        pause = max((retry_after or 0.0) * random.uniform(1.0, 1.25), random.uniform(0.0, backoff))
        self._count += 1
        return pause if pause < self.remaining(now) else None
