"""Changes of jobs, in SQL."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, func, insert, select, text, update

from gateway.core.jobs import JobRow
from gateway.storage.audited import AuditedWriter
from gateway.storage.job_tables import job_lines, jobs
from gateway.storage.jobs.job_queries import COLUMNS, ENDED_STATES, SqlJobReader, job_of
from gateway.storage.jobs.job_queue import DbosQueue
from gateway.storage.scopes import TenantScope

__all__ = ["SqlJobWriter", "stored_job"]

_MAX_ERROR = 4000


class SqlJobWriter(AuditedWriter, SqlJobReader):
    """A :class:`gateway.core.jobs.JobWriter` in a tenant's scope.

    Args:
        scope: The scope.
        queue: The queue.
        audited: Whether entries are written to the audit log.
    """

    def __init__(self, scope: TenantScope, *, queue: DbosQueue, audited: bool = False) -> None:
        super().__init__(scope, audited=audited)
        self._queue = queue

    def lock_job(self, job_id: str) -> JobRow | None:
        """The job of this id; until this transaction ends, no other one changes it."""
        # SQLite has one writer at a time anyway, and leaves the lock out.
        query = select(*COLUMNS).where(self._scope.of(jobs), jobs.c.id == job_id).with_for_update()
        row = self._scope.execute(query).one_or_none()
        return job_of(row) if row else None

    def lock_jobs(self) -> None:
        """Block other transactions that make jobs of this tenant until this one ends."""
        if self._scope.dialect == "postgresql":
            hashed = hashlib.sha256(f"jobs/{self._scope.tenant}".encode()).hexdigest()
            self._scope.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": int(hashed[:15], 16)})

    def insert_job(self, row: JobRow) -> None:
        """Add a job."""
        self._scope.execute(insert(jobs).values(**stored_job(row)))

    def update_job(self, row: JobRow) -> None:
        """Store a job that was locked."""
        values = {key: value for key, value in stored_job(row).items() if key not in ("id", "tenant", "parameters")}
        self._scope.execute(update(jobs).where(self._scope.of(jobs), jobs.c.id == row.id).values(**values))

    def enqueue(self, row: JobRow, *, delay: float = 0.0) -> None:
        """Add the run of a job to the queue, in this transaction."""
        self._queue.enqueue(self._scope.connection, row, tenant=self._scope.tenant, delay=delay)

    def append_lines(self, job_id: str, lines: Sequence[tuple[float, str]], *, keep: int) -> None:
        """Add lines, each with its time, to the log of a job, of which the last ones are kept."""
        if not lines:
            return
        of_job = (self._scope.of(job_lines), job_lines.c.job_id == job_id)
        latest = select(func.coalesce(func.max(job_lines.c.number), 0)).where(*of_job)
        number = int(self._scope.execute(latest).scalar_one())
        rows = [
            {"job_id": job_id, "number": number + index, "time": moment, "text": line}
            for index, (moment, line) in enumerate(lines, start=1)
        ]
        self._scope.execute(insert(job_lines), rows)
        last = number + len(rows)
        if last > keep:
            self._scope.execute(delete(job_lines).where(*of_job, job_lines.c.number <= last - keep))

    def drop_ended(self, *, keep: int) -> None:
        """Remove all jobs that ended but the latest ones."""
        ended = (self._scope.of(jobs), jobs.c.state.in_(ENDED_STATES))
        kept = select(jobs.c.ended).where(*ended).order_by(jobs.c.ended.desc()).offset(keep - 1).limit(1)
        oldest = self._scope.execute(kept).scalar_one_or_none()
        if oldest is not None:
            self._scope.execute(delete(jobs).where(*ended, jobs.c.ended < oldest))


def stored_job(row: JobRow) -> dict[str, Any]:
    """The values of a job's columns."""
    return vars(row) | {
        "parameters": dict(row.parameters),
        "state": row.state.value,
        "request": row.request.value,
        "error": row.error[:_MAX_ERROR],
    }
