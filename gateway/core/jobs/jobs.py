"""Jobs as callers see them: make, list, watch, pause, resume and cancel."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import replace
from typing import Any

from gateway.core.access import NO_AUDIT, Action, AuditEntry, Auditor, Principal, Role, check_may_change
from gateway.core.datasets import Page
from gateway.core.jobs.kinds import JobKinds
from gateway.core.jobs.records import ENDED, JobCursor, JobLine, JobRow, JobState, Request
from gateway.core.jobs.repository import JobQueue, JobReader, JobRepository, JobWriter
from gateway.core.runtime.ids import new_id
from gateway.core.sessions.listing import check_page_size
from sixpoint.errors import (
    FailedPrecondition,
    InvalidArgument,
    JobNotFound,
    ResourceExhausted,
    SixpointError,
    Violation,
)

__all__ = ["Jobs"]

_MAX_PRIORITY = 100
_MAX_PARAMETER_CHARACTERS = 2**20
# Jobs that ended and can still be read, of one tenant.
_KEPT = 1000
_WATCH_SECONDS = 0.5


class Jobs:
    """All jobs of a gateway.

    Args:
        repository: Transactions of jobs.
        queue: Queue of the jobs.
        kinds: Kinds of jobs.
        tenant_limit: Number of jobs of one tenant that may wait or run.
        auditor: Takes notes of jobs that are read.
        now: Clock, in seconds since 1970.
    """

    def __init__(
        self,
        *,
        repository: JobRepository,
        queue: JobQueue,
        kinds: JobKinds,
        tenant_limit: int,
        auditor: Auditor = NO_AUDIT,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._repository = repository
        self._queue = queue
        self._kinds = kinds
        self._limit = tenant_limit
        self._auditor = auditor
        self._now = now

    def takes(self, kind: str) -> bool:
        """Whether workers with these settings run jobs of a kind."""
        return kind in self._kinds.run_here

    async def create(
        self, kind: str, parameters: Mapping[str, Any], *, priority: int = 0, principal: Principal
    ) -> JobRow:
        """Make a job; a worker takes it soon.

        Args:
            kind: Name of its kind.
            parameters: Its parameters.
            priority: Jobs of the tenant with a higher one go first, -100 to 100.
            principal: Who makes it.

        Raises:
            InvalidArgument: There is no such kind, or the parameters or the priority cannot be used.
            ResourceExhausted: Too many jobs of the tenant have not ended.
        """
        if abs(priority) > _MAX_PRIORITY:
            raise InvalidArgument(
                f"priority {priority}; expected -{_MAX_PRIORITY} to {_MAX_PRIORITY}",
                violations=(Violation("priority", f"-{_MAX_PRIORITY} to {_MAX_PRIORITY}"),),
            )
        found, parsed = self._kinds.parse(kind, parameters)
        stored = parsed.model_dump(mode="json")
        if len(parsed.model_dump_json()) > _MAX_PARAMETER_CHARACTERS:
            raise InvalidArgument(f"the parameters have more than {_MAX_PARAMETER_CHARACTERS} characters of JSON")
        await found.check(parsed, principal=principal)
        row = JobRow(
            id=new_id(),
            tenant=principal.tenant,
            owner=principal.subject,
            role=int(principal.role or Role.VIEWER),
            kind=kind,
            parameters=stored,
            state=JobState.QUEUED,
            priority=priority,
            created=self._now(),
            run=new_id(),
        )

        def work(records: JobWriter) -> JobRow:
            records.lock_jobs()
            self._check_room(records)
            records.drop_ended(keep=_KEPT)
            records.insert_job(row)
            records.enqueue(row)
            records.audit(AuditEntry(principal, Action.CREATE_JOB, row.id))
            return row

        return await self._repository.write(work, tenant=principal.tenant)

    async def get(self, job_id: str, *, principal: Principal) -> JobRow:
        """Return a job.

        Raises:
            JobNotFound: There is none of this id.
        """
        row = await self._repository.read(lambda records: _require(records.job(job_id)), tenant=principal.tenant)
        self._auditor.note(AuditEntry(principal, Action.READ_JOB, job_id))
        return row

    async def page(
        self, *, principal: Principal, state: JobState | None = None, size: int = 0, token: str = ""
    ) -> Page[JobRow]:
        """List jobs, the latest first.

        Raises:
            InvalidArgument: The size is out of range, or the token is unknown.
        """
        limit, after = check_page_size(size), _parse_token(token)
        rows = await self._repository.read(
            lambda records: records.jobs(state=state, after=after, limit=limit + 1), tenant=principal.tenant
        )
        self._auditor.note(AuditEntry(principal, Action.READ_JOB))
        last = rows[limit - 1] if len(rows) > limit else None
        return Page(tuple(rows[:limit]), f"{last.created!r} {last.id}" if last else "")

    async def lines(self, job_id: str, *, principal: Principal, size: int = 0, after: int = 0) -> Page[JobLine]:
        """List lines of the log of a job by number; the token is the number of the last one.

        Raises:
            JobNotFound: There is no such job.
            InvalidArgument: The size is out of range.
        """
        limit = check_page_size(size)

        def work(records: JobReader) -> list[JobLine]:
            _require(records.job(job_id))
            return records.job_lines(job_id, after=after, limit=limit + 1)

        found = await self._repository.read(work, tenant=principal.tenant)
        # Lines name cases.
        self._auditor.note(AuditEntry(principal, Action.READ_JOB, job_id))
        return Page(tuple(found[:limit]), str(found[limit - 1].number) if len(found) > limit else "")

    async def watch(self, job_id: str, *, principal: Principal) -> AsyncGenerator[JobRow]:
        """Yield a job now and whenever it has changed, until it has ended or is paused.

        Raises:
            JobNotFound: There is none of this id.
        """
        row = await self.get(job_id, principal=principal)
        yield row
        while row.state not in ENDED and row.state is not JobState.PAUSED:
            await asyncio.sleep(_WATCH_SECONDS)
            seen, row = (
                row,
                await self._repository.read(lambda records: _require(records.job(job_id)), tenant=principal.tenant),
            )
            if seen != row:
                yield row

    async def cancel(self, job_id: str, *, principal: Principal) -> JobRow:
        """Cancel a job, with all that it does; a running one ends within seconds. What it saved stays.

        Raises:
            JobNotFound: There is none of this id.
            PermissionDenied: It belongs to somebody else.
            FailedPrecondition: It has ended.
        """
        waiting = {JobState.QUEUED: JobState.CANCELLED, JobState.PAUSED: JobState.CANCELLED}
        return await self._change(job_id, Request.CANCEL, waiting, principal=principal)

    async def pause(self, job_id: str, *, principal: Principal) -> JobRow:
        """Pause a job; a running one stops within seconds, and goes on from there when it is resumed.

        Raises:
            JobNotFound: There is none of this id.
            PermissionDenied: It belongs to somebody else.
            FailedPrecondition: It has ended.
        """
        return await self._change(job_id, Request.PAUSE, {JobState.QUEUED: JobState.PAUSED}, principal=principal)

    async def resume(self, job_id: str, *, principal: Principal) -> JobRow:
        """Let a job go on that was paused, or that failed.

        Raises:
            JobNotFound: There is none of this id.
            PermissionDenied: It belongs to somebody else.
            FailedPrecondition: It was cancelled, or has succeeded.
            ResourceExhausted: Too many jobs of the tenant have not ended.
        """
        waiting = {JobState.PAUSED: JobState.QUEUED, JobState.FAILED: JobState.QUEUED}
        return await self._change(job_id, Request.NONE, waiting, principal=principal)

    async def _change(
        self, job_id: str, request: Request, waiting: Mapping[JobState, JobState], *, principal: Principal
    ) -> JobRow:
        now, run = self._now(), new_id()

        def work(records: JobWriter) -> tuple[JobRow, str]:
            records.lock_jobs()
            row = _require(records.lock_job(job_id))
            check_may_change(principal, owner=row.owner, what="job")
            changed = _changed(row, request, waiting, now=now)
            if changed == row:
                return row, ""
            if row.state is JobState.FAILED:
                self._check_room(records)
            if changed.state is JobState.QUEUED:
                changed = replace(changed, run=run)
                records.enqueue(changed)
            records.update_job(changed)
            records.audit(AuditEntry(principal, Action.CHANGE_JOB, job_id))
            return changed, row.run if row.state is JobState.QUEUED else ""

        changed, waiting_run = await self._repository.write(work, tenant=principal.tenant)
        if waiting_run:
            # One that stays in the queue is void, and costs a worker a look at it.
            with contextlib.suppress(SixpointError):
                await self._queue.withdraw([waiting_run])
        return changed

    def _check_room(self, records: JobReader) -> None:
        if records.count_unfinished() >= self._limit:
            raise ResourceExhausted(
                f"{self._limit} jobs wait or run, which is the limit (SIXPOINT_TENANT_JOBS); wait until one ends, or "
                "cancel one",
                retry_after=60.0,
            )


def _changed(row: JobRow, request: Request, waiting: Mapping[JobState, JobState], *, now: float) -> JobRow:
    """A job after what is asked of it; the same if it is so already."""
    target = waiting.get(row.state)
    if target is not None:
        ended = now if target in ENDED else 0.0
        return replace(row, state=target, request=Request.NONE, ended=ended, error="", failures=0, not_before=0.0)
    if row.state is JobState.RUNNING:
        # A job that shall be cancelled is not paused instead, and does not go on either.
        return row if row.request is Request.CANCEL else replace(row, request=request)
    fulfilled = {Request.NONE: JobState.QUEUED, Request.PAUSE: JobState.PAUSED, Request.CANCEL: JobState.CANCELLED}
    if row.state is fulfilled[request]:
        return row
    verb = request.value or "resume"
    raise FailedPrecondition(
        f"the job has {row.state.value if row.state is not JobState.CANCELLED else 'been cancelled'}, so there is "
        f"nothing to {verb}; start another one"
    )


def _require(row: JobRow | None) -> JobRow:
    if row is None:
        raise JobNotFound("there is no job of this id; sixpoint jobs list shows them (ListJobs)")
    return row


def _parse_token(token: str) -> JobCursor | None:
    if not token:
        return None
    created, _, job_id = token.partition(" ")
    try:
        return float(created), job_id
    except ValueError:
        raise InvalidArgument("unknown page token; expected next_page_token of the last response") from None
