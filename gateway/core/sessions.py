"""Annotation sessions: one image, one model, the prompts so far, and the answer to them."""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from gateway.core.images import StoredImage
from gateway.core.processing import Answered
from gateway.core.shown import Shown
from sixpoint.errors import ResourceExhausted, SessionExpired, SessionNotFound
from sixpoint.prompts import Prompt

__all__ = ["Session", "SessionStore", "State"]

# How many expired ids are remembered, to say "expired" rather than "unknown".
_REMEMBERED = 10_000


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, eq=False)
class State:
    """Where a session stands. It is replaced as a whole, never changed: a call that fails leaves it as it was.

    Attributes:
        log: The prompts of every call that was answered; replayed in order, they give the same answers.
        shown: What was shown of the current object; None before the first.
        answered: The answer so far, which clicks correct; None before the first.
    """

    log: tuple[tuple[Prompt, ...], ...] = ()
    shown: Shown | None = None
    answered: Answered | None = None


@dataclass(eq=False)
class Session:
    """One person's work on one image.

    Attributes:
        id: 128 random bits; whoever knows it may use the session.
        image: The image, held while the session lives.
        model: Name of the model.
        created: When it was opened.
        expires: When it closes, unless used before.
        revision: Number of calls answered.
        state: The prompts so far, and the answer to them.
        lock: Held while a call is answered: those of one session are answered one after the other.
    """

    id: str
    image: StoredImage
    model: str
    created: datetime
    expires: datetime
    revision: int = 0
    state: State = State()
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class SessionStore:
    """Open sessions, soonest to expire first.

    Args:
        limit: Most sessions open at once.
        idle: A session unused for so long closes by itself.
        now: The clock.
    """

    def __init__(self, *, limit: int, idle: timedelta, now: Callable[[], datetime] = _now) -> None:
        self._limit = limit
        self._idle = idle
        self._now = now
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._expired: OrderedDict[str, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sessions)

    def create(self, image: StoredImage, model: str) -> Session:
        """Open a session.

        Raises:
            ResourceExhausted: When too many are open.
        """
        self.expire()
        if len(self._sessions) >= self._limit:
            soonest = next(iter(self._sessions.values())).expires - self._now()
            raise ResourceExhausted(
                f"{self._limit} sessions are open, which is the limit (SIXPOINT_MAX_SESSIONS); close one or wait",
                retry_after=max(1.0, soonest.total_seconds()),
            )
        now = self._now()
        session = Session(secrets.token_urlsafe(16), image, model, created=now, expires=now + self._idle)
        self._sessions[session.id] = session
        return session

    def get(self, session_id: str) -> Session:
        """The session of this id, used now: its expiry moves on.

        Raises:
            SessionExpired: When it was here and was idle for too long.
            SessionNotFound: When it never was, or was closed.
        """
        self.expire()
        session = self._sessions.get(session_id)
        if session is None:
            if session_id in self._expired:
                raise SessionExpired("the session was idle for too long and was closed; open a new one")
            raise SessionNotFound("no session has this id; open one first")
        session.expires = self._now() + self._idle
        self._sessions.move_to_end(session_id)
        return session

    def close(self, session_id: str) -> None:
        """Close a session; nothing happens when there is none of this id."""
        self._sessions.pop(session_id, None)

    def expire(self) -> None:
        """Close the sessions whose time has come."""
        now = self._now()
        while self._sessions:
            session = next(iter(self._sessions.values()))
            if session.expires > now:
                return
            if session.lock.locked():
                # A prompt is being answered: that is use.
                session.expires = now + self._idle
                self._sessions.move_to_end(session.id)
                continue
            self.close(session.id)
            self._expired[session.id] = None
            if len(self._expired) > _REMEMBERED:
                self._expired.popitem(last=False)
