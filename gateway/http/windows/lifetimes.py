"""Sessions of clients that end: after a time without use, or when the client closes them."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable

from gateway.core.access import Principal
from gateway.core.runtime import Model
from gateway.core.sessions import Sessions
from gateway.http.windows.annotating import Annotating
from gateway.http.windows.handles import ImageHandle
from sixpoint.errors import SessionExpired, SessionNotFound

__all__ = ["MAX_SECONDS", "Lifetimes"]

MAX_SECONDS = 9_999_999
"""Longest time without use that a client may ask for; sessions of ours may end earlier."""
_MAX_KNOWN = 10_000


class Lifetimes:
    """Opens and ends sessions of clients, each with a session of ours.

    Args:
        sessions: All sessions.
        annotating: Answers points in them.
        now: Clock, in seconds since 1970.
    """

    def __init__(self, *, sessions: Sessions, annotating: Annotating, now: Callable[[], float] = time.time) -> None:
        self._sessions = sessions
        self._annotating = annotating
        self._now = now
        # Sessions store their use once in a minute only. Other processes know that, and their own calls.
        self._used: OrderedDict[str, float] = OrderedDict()

    async def open(self, digest: str, model: Model, *, principal: Principal, seconds: int = 0) -> ImageHandle:
        """Open a session of a client.

        Args:
            digest: Digest of its image.
            model: Model of the session of ours.
            principal: Who opens it.
            seconds: Time without use after which it ends; 0 for that of all sessions.

        Raises:
            ImageNotFound: There is no such image.
            ResourceExhausted: Too many sessions are open.
        """
        session = await self._sessions.create(principal=principal, digest=digest, model=model.name)
        return ImageHandle(digest, session.row.id, session.row.id, min(seconds, MAX_SECONDS))

    async def require(self, handle: ImageHandle, *, principal: Principal) -> None:
        """Check that a session of a client has not ended; that is use.

        Raises:
            SessionExpired: It was not used for too long.
            SessionNotFound: It was closed, or there was none.
        """
        if not handle.anchor:
            return
        session = await self._sessions.get(handle.anchor, principal=principal, touch=False)
        if session.row.image_digest != handle.digest:
            raise SessionNotFound("no session has this id; send the image again (PUT /session/)")
        now, key = self._now(), str(handle)
        used = max(session.row.used, self._used.get(key, 0.0))
        if handle.seconds and now - used > handle.seconds:
            await self._sessions.close(handle.anchor, principal=principal)
            raise SessionExpired(
                f"the session was not used for {handle.seconds} s (expiry) and has ended; send the image again "
                "(PUT /session/)"
            )
        self._used[key] = now
        self._used.move_to_end(key)
        if len(self._used) > _MAX_KNOWN:
            self._used.popitem(last=False)
        await self._sessions.get(handle.anchor, principal=principal)

    async def close(self, handle: ImageHandle, models: Iterable[Model], *, principal: Principal) -> None:
        """End a session of a client, and those of ours that belong to it.

        Args:
            handle: The client's session.
            models: Models that it may have used.
            principal: Who closes it.

        Raises:
            PermissionDenied: The session belongs to somebody else.
        """
        if handle.anchor:
            await self._sessions.close(handle.anchor, principal=principal)
            self._used.pop(str(handle), None)
        await self._annotating.close(handle, models, principal=principal)
