"""Queries on jobs, in SQL."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, and_, func, or_, select

from gateway.core.jobs import ENDED, JobCursor, JobLine, JobRow, JobState, Request
from gateway.storage.job_tables import job_lines, jobs
from gateway.storage.scopes import TenantScope

__all__ = ["COLUMNS", "ENDED_STATES", "SqlJobReader", "job_of"]

COLUMNS = [jobs.c[name] for name in JobRow.__dataclass_fields__]
"""The columns of a job."""
ENDED_STATES = [state.value for state in ENDED]
"""States of jobs that have ended, as they are stored."""


class SqlJobReader:
    """A :class:`gateway.core.jobs.JobReader` in a tenant's scope."""

    def __init__(self, scope: TenantScope) -> None:
        self._scope = scope

    def job(self, job_id: str) -> JobRow | None:
        """The job of this id."""
        query = select(*COLUMNS).where(self._scope.of(jobs), jobs.c.id == job_id)
        row = self._scope.execute(query).one_or_none()
        return job_of(row) if row else None

    def jobs(self, *, state: JobState | None, after: JobCursor | None, limit: int) -> list[JobRow]:
        """Jobs, the latest first, behind a place."""
        query = select(*COLUMNS).where(self._scope.of(jobs))
        if state is not None:
            query = query.where(jobs.c.state == state.value)
        if after is not None:
            created, job_id = after
            query = query.where(or_(jobs.c.created < created, and_(jobs.c.created == created, jobs.c.id > job_id)))
        rows = self._scope.execute(query.order_by(jobs.c.created.desc(), jobs.c.id).limit(limit))
        return [job_of(row) for row in rows]

    def count_unfinished(self) -> int:
        """Number of jobs that have not ended."""
        query = select(func.count()).select_from(jobs).where(self._scope.of(jobs), jobs.c.state.not_in(ENDED_STATES))
        return int(self._scope.execute(query).scalar_one())

    def job_lines(self, job_id: str, *, after: int, limit: int) -> list[JobLine]:
        """Lines of the log of a job by number, behind a number."""
        columns = (job_lines.c.number, job_lines.c.time, job_lines.c.text)
        query = select(*columns).where(
            self._scope.of(job_lines), job_lines.c.job_id == job_id, job_lines.c.number > after
        )
        return [JobLine(*row) for row in self._scope.execute(query.order_by(job_lines.c.number).limit(limit))]


def job_of(row: Row[Any]) -> JobRow:
    """The job of a row."""
    return JobRow(**{**row._mapping, "state": JobState(row.state), "request": Request(row.request)})
