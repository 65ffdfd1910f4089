"""Sessions: open, fork, list, change and close them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from gateway.core.access import NO_AUDIT, Action, AuditEntry, Auditor, Principal, check_may_change
from gateway.core.runtime.ids import new_id
from gateway.core.sessions import listing, validation
from gateway.core.sessions.history import SegmentHistory
from gateway.core.sessions.listing import Session, SessionPage, StepPage
from gateway.core.sessions.log_quota import LogQuota, enforce
from gateway.core.sessions.records import ROW_BYTES, ModelUse, RequestOutcome, SessionRow
from gateway.core.sessions.repository import SessionReader, SessionRepository, SessionWriter
from gateway.core.sessions.state_cache import SegmentStateCache
from sixpoint.errors import ImageNotFound

__all__ = ["Sessions"]

# Reading a session stores its use only this often, as a read should not cost a write.
_TOUCH_S = 60.0
# Clients from before there were pages see as many steps.
_STEPS = 1000


class Sessions:
    """All sessions of a gateway.

    Args:
        repository: Transactions of sessions.
        history: History of the segments.
        cache: States of the segments used last.
        quota: Limits of the logs.
        limit: Largest number of open sessions.
        owner_limit: Largest number of open sessions of one owner; 0 for no limit.
        idle: Seconds after which an unused session ends.
        auditor: Takes notes of sessions that are read.
        now: Clock, in seconds since 1970.
    """

    def __init__(
        self,
        *,
        repository: SessionRepository,
        history: SegmentHistory,
        cache: SegmentStateCache,
        quota: LogQuota,
        limit: int,
        owner_limit: int,
        idle: float,
        auditor: Auditor = NO_AUDIT,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._repository = repository
        self._history = history
        self._cache = cache
        self._quota = quota
        self._limit = limit
        self._owner_limit = owner_limit
        self._idle = idle
        self._auditor = auditor
        self._now = now

    async def create(self, *, principal: Principal, digest: str, model: str, request_id: str = "") -> Session:
        """Open a session on an image.

        Args:
            principal: Who opens it, and whose quota is charged.
            digest: Digest of the image.
            model: Name of the model that answers prompts.
            request_id: Random id with which the call can be repeated; empty if none.

        Raises:
            ImageNotFound: There is no such image.
            InvalidArgument: A call with this request id opened a session on another image.
            ResourceExhausted: Too many sessions are open.
        """
        validation.check_request_id(request_id)
        row, owner = self._new_row(principal, digest=digest, model=model), principal.subject

        def work(records: SessionWriter) -> Session:
            if request_id and (opened := records.session_by_request(owner, request_id)):
                validation.check_repeated(opened, digest)
                return self._session(records, opened)
            validation.check_limits(records, owner, limit=self._limit, owner_limit=self._owner_limit)
            if not records.touch_image(digest, now=row.created):
                raise ImageNotFound("no image has this digest; upload it first")
            records.insert_session(row, request_id=request_id or None)
            records.audit(AuditEntry(principal, Action.OPEN_SESSION, row.id))
            return self._session(records, row)

        return await self._repository.write(work, tenant=principal.tenant)

    async def fork(
        self, session_id: str, *, principal: Principal, segment: int, step: int, request_id: str = ""
    ) -> Session:
        """Open a session with the segments of another one, up to their heads; both share these steps.

        Args:
            session_id: Id of the other session, which may be somebody else's of the same tenant.
            principal: Who opens the new one, and whose quota is charged.
            segment: Number of the segment to share up to another step; 0 for none.
            step: Number of that step, whether in force or redoable.
            request_id: Random id with which the call can be repeated; empty if none.

        Raises:
            SessionExpired: The other session was idle for too long.
            SessionNotFound: There is no such session, or it was closed.
            InvalidArgument: There is no such step, or a call with this request id opened a session on another image.
            ResourceExhausted: Too many sessions are open, or the logs of the owner's or of all take too many bytes.
        """
        validation.check_request_id(request_id)

        def work(records: SessionWriter) -> Session:
            source = records.lock_session(session_id)
            if request_id and (opened := records.session_by_request(principal.subject, request_id)):
                validation.check_repeated(opened, source.image_digest if source else opened.image_digest)
                return self._session(records, opened)
            source = validation.require_open(source)
            enforce(full)
            validation.check_limits(records, principal.subject, limit=self._limit, owner_limit=self._owner_limit)
            segments = records.segments(session_id)
            if segment:
                validation.check_step(segments, segment, step)
            heads = {each.number: each.head for each in segments} | ({segment: step} if segment else {})
            shared = [replace(each, head=heads[each.number], length=heads[each.number]) for each in segments]
            row = self._new_row(principal, digest=source.image_digest, model=source.model)
            row = replace(row, revision=source.revision, step_count=sum(heads.values()))
            records.insert_session(row, request_id=request_id or None)
            records.touch_image(row.image_digest, now=row.created)
            row = replace(row, log_bytes=records.share_steps(session_id, row.id, shared))
            records.audit(AuditEntry(principal, Action.FORK_SESSION, row.id, source=session_id))
            return self._session(records, row)

        full = await self._quota.refusal(principal.tenant, principal.subject)
        session = await self._repository.write(work, tenant=principal.tenant)
        self._quota.add(session.row, session.row.log_bytes)
        return session

    async def get(self, session_id: str, *, principal: Principal, touch: bool = True) -> Session:
        """Return an open session; that is use, which puts off its expiry.

        Args:
            session_id: Id of the session.
            principal: Who asks.
            touch: Whether it is use.

        Raises:
            NotFound: There is no such session, or it was closed, or was idle for too long.
        """
        session = await self._repository.read(
            lambda records: self._session(records, validation.require_open(records.session(session_id))),
            tenant=principal.tenant,
        )
        self._auditor.note(AuditEntry(principal, Action.READ_SESSION, session_id))
        now = self._now()
        if touch and now - session.row.used > min(_TOUCH_S, self._idle / 10):
            tenant = principal.tenant
            await self._repository.write(lambda records: records.touch_session(session_id, now=now), tenant=tenant)
            session = replace(session, row=replace(session.row, used=now), expires=now + self._idle)
        return session

    async def opened_by(self, request_id: str, *, principal: Principal) -> SessionRow | None:
        """Return the session, open or ended, that the caller opened with a request id; None without one."""
        owner, tenant = principal.subject, principal.tenant
        return await self._repository.read(lambda of: of.session_by_request(owner, request_id), tenant=tenant)

    async def page(
        self, principal: Principal, *, size: int = 0, token: str = "", use: ModelUse | None = None
    ) -> SessionPage:
        """List a caller's open sessions, the last used first.

        Args:
            principal: Who asks.
            size: Largest number of sessions on the page; 0 for the default.
            token: Token of the page, from the page before; empty for the first page.
            use: Model that the sessions must use; None for all sessions.

        Raises:
            InvalidArgument: The size is out of range, or the token is unknown.
        """
        limit, after = listing.check_page_size(size), listing.parse_page_token(token)
        owner = principal.subject
        page = await self._repository.read(
            lambda records: listing.list_page(records, owner, limit=limit, after=after, use=use, idle=self._idle),
            tenant=principal.tenant,
        )
        self._auditor.note(AuditEntry(principal, Action.LIST_SESSIONS))
        return page

    async def update(
        self,
        session_id: str,
        *,
        principal: Principal,
        model: str | None,
        names: Sequence[tuple[int, str]],
        revision: int | None = None,
        request_id: str = "",
    ) -> Session:
        """Change a session's model, or name its segments.

        Args:
            session_id: Id of the session.
            principal: Who makes the call.
            model: Name of the new model; None to leave it.
            names: Number and name of each segment to name.
            revision: Revision that the call was made for; None for any.
            request_id: Random id with which the call can be repeated; empty if none.

        Raises:
            SessionExpired: The session was idle for too long.
            SessionNotFound: There is no such session, or it was closed.
            PermissionDenied: The session belongs to somebody else.
            StaleRevision: The session is at another revision.
            InvalidArgument: A segment's number is out of range, or a name too long.
            ResourceExhausted: The session's log takes too many bytes.
        """
        validation.check_request_id(request_id)
        validation.check_names(names)
        added = ROW_BYTES if request_id else 0

        def work(records: SessionWriter) -> tuple[Session, bool]:
            row = validation.require_open(records.lock_session(session_id))
            check_may_change(principal, owner=row.owner)
            repeated = bool(request_id) and records.request(session_id, request_id) is not None
            if not repeated:
                validation.check_revision(row, revision)
                self._quota.check_session(row)
                validation.advance_revision(records, row, now=self._now(), model=model, added_bytes=added)
                records.name_segments(session_id, dict(names))
                if request_id:
                    records.insert_requests(session_id, [request_id], RequestOutcome(row.revision + 1, 0, 0))
                records.audit(AuditEntry(principal, Action.CHANGE_SESSION, session_id))
            return self._session(records, validation.require_open(records.session(session_id))), repeated

        async with self._history.lock(session_id, principal):
            session, repeated = await self._repository.write(work, tenant=principal.tenant)
            if repeated:
                # Other gateways may have changed the session since.
                self._cache.drop(session_id)
            else:
                self._cache.carry_over(session_id, session.row.revision)
            return session

    async def steps(
        self, session_id: str, *, principal: Principal, segment: int = 0, size: int = 0, token: str = ""
    ) -> StepPage:
        """List the steps of a session.

        Args:
            session_id: Id of the session.
            principal: Who asks.
            segment: Number of the only segment; 0 for all.
            size: Largest number of steps on the page; 0 for the default.
            token: Token of the page, from the page before; empty for the first page.

        Raises:
            SessionExpired: The session was idle for too long.
            SessionNotFound: There is no such session, or it was closed.
            InvalidArgument: The size is out of range, or the token is unknown.
        """
        limit, after = listing.check_page_size(size, default=_STEPS), listing.parse_step_token(token)

        def work(records: SessionReader) -> StepPage:
            validation.require_open(records.session(session_id))
            return listing.list_steps(records, session_id, segment=segment, limit=limit, after=after)

        page = await self._repository.read(work, tenant=principal.tenant)
        self._auditor.note(AuditEntry(principal, Action.READ_SESSION, session_id))
        return page

    async def close(self, session_id: str, *, principal: Principal) -> None:
        """End a session, if there is one of this id and it is open.

        Raises:
            PermissionDenied: The session belongs to somebody else.
        """

        def work(records: SessionWriter) -> bool:
            row = records.session(session_id)
            if row is not None:
                check_may_change(principal, owner=row.owner)
                if records.end_session(session_id, now=self._now()):
                    records.audit(AuditEntry(principal, Action.CLOSE_SESSION, session_id))
            return row is not None

        async with self._history.lock(session_id, principal):
            # Another tenant's session is none: it also stays in memory.
            if await self._repository.write(work, tenant=principal.tenant):
                self._cache.drop(session_id)

    def _new_row(self, principal: Principal, *, digest: str, model: str) -> SessionRow:
        now, tenant, owner = self._now(), principal.tenant, principal.subject
        return SessionRow(new_id(), tenant, owner, digest, model, 0, now, now, None, expired=False)

    def _session(self, records: SessionReader, row: SessionRow) -> Session:
        return Session(row, tuple(records.segments(row.id)), row.used + self._idle)
