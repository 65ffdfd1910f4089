"""Annotation sessions: opened, forked, listed, changed, closed; their end when nobody uses them."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from gateway.core.sessions import listing
from gateway.core.sessions.history import SegmentHistory, advance_revision, check_revision, open_row
from gateway.core.sessions.records import ModelUse, RequestOutcome, SegmentRow, SessionRow, StepRow
from gateway.core.sessions.repository import SessionReader, SessionRepository, SessionWriter
from gateway.core.sessions.segment_state import SegmentStateCache
from gateway.core.sessions.validation import check_repeated, check_request_id, check_segment, check_step
from sixpoint.errors import ImageNotFound, InvalidArgument, ResourceExhausted

__all__ = ["Session", "SessionPage", "Sessions"]

_MOST_NAME = 200
# How long an ended session is remembered, to say "expired" rather than "unknown".
_TOMBSTONE_S = 7 * 86400.0
# Sessions whose logs are removed in one transaction: on SQLite all other writers wait for it.
_FORGOTTEN = 50
# Reads move the expiry on only this often: a read should not cost a write.
_TOUCH_S = 60.0


@dataclass(frozen=True)
class Session:
    """A session as people see it: its record, its segments by number, and when it closes unless it is used."""

    row: SessionRow
    segments: tuple[SegmentRow, ...]
    expires: float


@dataclass(frozen=True)
class SessionPage:
    """Some of an owner's open sessions.

    Attributes:
        sessions: The last used first.
        token: To go on; empty after the last.
        total: Number of the owner's, on all pages.
        everybodys: The same, of all owners.
    """

    sessions: tuple[Session, ...]
    next_token: str
    total: int
    total_all_owners: int


class Sessions:
    """All sessions.

    Args:
        repository: Transactions of sessions.
        log: Of what was shown in them.
        hot: What is kept at hand of them.
        limit: Most sessions open at once.
        owner_limit: Most sessions open at once of one owner; 0 for no limit.
        idle: A session unused for so many seconds closes by itself.
        now: The clock, seconds since 1970.
    """

    def __init__(
        self,
        *,
        repository: SessionRepository,
        history: SegmentHistory,
        cache: SegmentStateCache,
        limit: int,
        owner_limit: int,
        idle: float,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._repository = repository
        self._history = history
        self._cache = cache
        self._limit = limit
        self._owner_limit = owner_limit
        self._idle = idle
        self._now = now

    async def create(self, *, owner: str, digest: str, model: str, request_id: str = "") -> Session:
        """Open a session on an image.

        Raises:
            ImageNotFound: When the image is not here.
            InvalidArgument: When the call's id opened a session on another image.
            ResourceExhausted: When too many are open.
        """
        check_request_id(request_id)
        row = self._new(owner=owner, digest=digest, model=model)

        def work(records: SessionWriter) -> Session:
            if request_id and (known := records.session_by_request(owner, request_id)):
                check_repeated(known, digest)
                return self._session(records, known)
            self._check_limits(records, owner)
            if not records.touch_image(digest, now=row.created):
                raise ImageNotFound("no image with this digest is here; upload it first")
            records.insert_session(row, request_id=request_id or None)
            return self._session(records, row)

        return await self._repository.write(work)

    async def fork(self, session_id: str, *, owner: str, segment: int, step: int, request_id: str = "") -> Session:
        """Open a session that stands where another stands, or where it stood after a step of one segment.

        Args:
            session_id: The other.
            owner: Whose the new one is.
            segment: The segment that is to stand at another step; 0: none.
            step: After which of its steps, redone or not.
            request_id: The call's own id.

        Raises:
            SessionNotFound: As of :meth:`get`.
            InvalidArgument: When there is no such step, or the call's id opened a session on another image.
            ResourceExhausted: When too many are open.
        """
        check_request_id(request_id)

        def work(records: SessionWriter) -> Session:
            source = records.session(session_id)
            if request_id and (known := records.session_by_request(owner, request_id)):
                if source is not None:
                    check_repeated(known, source.image_digest)
                return self._session(records, known)
            source = open_row(source)
            self._check_limits(records, owner)
            now = self._now()
            row = replace(
                self._new(owner=owner, digest=source.image_digest, model=source.model), revision=source.revision
            )
            records.insert_session(row, request_id=request_id or None)
            records.touch_image(row.image_digest, now=now)
            rows = records.segments(session_id)
            if segment:
                check_step(rows, segment, step)
            for one in rows:
                last = step if one.number == segment else one.head
                records.insert_segment(row.id, replace(one, head=last, length=last))
                records.copy_steps(session_id, row.id, segment=one.number, last=last)
            return self._session(records, row)

        return await self._repository.write(work)

    async def get(self, session_id: str) -> Session:
        """The session of this id, used now: its expiry moves on.

        Raises:
            SessionExpired: When it was here and was idle for too long.
            SessionNotFound: When it never was, or was closed.
        """
        found = await self._repository.read(
            lambda records: self._session(records, open_row(records.session(session_id)))
        )
        now = self._now()
        if now - found.row.used > min(_TOUCH_S, self._idle / 10):
            await self._repository.write(lambda records: records.touch_session(session_id, now=now))
            found = replace(found, row=replace(found.row, used=now), expires=now + self._idle)
        return found

    async def page(self, owner: str, *, size: int = 0, token: str = "", use: ModelUse | None = None) -> SessionPage:
        """An owner's open sessions, the last used first.

        Args:
            owner: Whose.
            size: How many at most; 0 for the default.
            token: Of the page before; empty for the first.
            use: Which a session must make of a model; None: whatever it uses.

        Raises:
            InvalidArgument: When the size or the token is none.
        """
        most, after = listing.check_page_size(size), listing.parse_page_token(token)

        def work(records: SessionReader) -> SessionPage:
            found = listing.list_page(records, owner, limit=most, after=after, use=use)
            listed = tuple(self._session(records, row) for row in found.rows)
            return SessionPage(listed, found.next_token, found.total, found.total_all_owners)

        return await self._repository.read(work)

    async def update(
        self,
        session_id: str,
        *,
        model: str | None,
        names: Sequence[tuple[int, str]],
        revision: int | None = None,
        request_id: str = "",
    ) -> Session:
        """Change a session's model, or name its segments.

        Raises:
            SessionNotFound: As of :meth:`get`.
            StaleRevision: When it is not at ``revision``.
            InvalidArgument: When a number is no segment's, or a name too long.
        """
        check_request_id(request_id)
        for number, name in names:
            check_segment(number)
            if len(name) > _MOST_NAME:
                raise InvalidArgument(f"a segment's name has {len(name)} characters; at most {_MOST_NAME} are kept")

        def work(records: SessionWriter) -> tuple[Session, bool]:
            row = open_row(records.session(session_id))
            repeated = bool(request_id) and records.request(session_id, request_id) is not None
            if not repeated:
                check_revision(row, revision)
                advance_revision(records, row, now=self._now(), model=model)
                for number, name in names:
                    records.rename_segment(session_id, number, name)
                if request_id:
                    records.insert_requests(session_id, [request_id], RequestOutcome(row.revision + 1, 0, 0))
            return self._session(records, open_row(records.session(session_id))), repeated

        async with self._history.lock(session_id):
            changed, repeated = await self._repository.write(work)
            if repeated:  # what other gateways did since is not known here
                self._cache.drop(session_id)
            else:
                self._cache.carry_over(session_id, changed.row.revision)
            return changed

    async def steps(self, session_id: str, *, segment: int = 0) -> list[tuple[StepRow, bool]]:
        """The steps of one segment, or of all, without their answers, and whether each is in force.

        Raises:
            SessionNotFound: As of :meth:`get`.
        """

        def work(records: SessionReader) -> list[tuple[StepRow, bool]]:
            open_row(records.session(session_id))
            heads = {row.number: row.head for row in records.segments(session_id)}
            found = records.steps(session_id, segment=segment or None, answers=False)
            return [(row, row.number <= heads[row.segment]) for row in found]

        return await self._repository.read(work)

    async def close(self, session_id: str) -> None:
        """Close a session; nothing happens when there is none of this id."""
        async with self._history.lock(session_id):
            await self._repository.write(lambda records: records.end_session(session_id, now=self._now()))
            self._cache.drop(session_id)

    async def expire(self, *, every: float) -> int:
        """Close the sessions whose time has come, and remove what the ended ones left; how many were closed.

        Idle time counts only while a gateway looks: after a time without any, or when the clock jumped, all times of
        last use move along.

        Args:
            every: Seconds between two such calls, more or less.
        """
        self._cache.expire()

        def work(records: SessionWriter) -> tuple[int, float]:
            now = self._now()
            before = records.tick(now=now)
            gap = 0.0 if before is None else now - before
            # Clocks of several gateways differ a little, and a moment passes before this one's turn: that is no jump.
            if abs(gap) > 10 * every + 1:
                records.shift_last_use(gap, now=now)
            return records.end_idle(unused_since=now - self._idle, now=now), now

        def forget(records: SessionWriter) -> bool:
            return records.delete_ended(before=now, tombstones_before=now - _TOMBSTONE_S, limit=_FORGOTTEN)

        closed, now = await self._repository.write(work)
        while await self._repository.write(forget):
            pass
        return closed

    def _new(self, *, owner: str, digest: str, model: str) -> SessionRow:
        now = self._now()
        # 128 random bits: whoever knows the id may use the session.
        return SessionRow(secrets.token_urlsafe(16), owner, digest, model, 0, now, now, None, expired=False)

    def _session(self, records: SessionReader, row: SessionRow) -> Session:
        return Session(row, tuple(records.segments(row.id)), row.used + self._idle)

    def _check_limits(self, records: SessionReader, owner: str) -> None:
        if records.count_open() >= self._limit:
            raise ResourceExhausted(
                f"{self._limit} sessions are open, which is the limit (SIXPOINT_MAX_SESSIONS); close one, or wait "
                "until one expires",
                retry_after=60.0,
            )
        if self._owner_limit and records.count_open(owner) >= self._owner_limit:
            raise ResourceExhausted(
                f"{self._owner_limit} of your sessions are open, which is the limit for one owner "
                "(SIXPOINT_OWNER_SESSIONS); close one"
            )
