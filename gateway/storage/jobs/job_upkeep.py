"""What workers do with the jobs of all tenants, in SQL."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import ColumnElement, and_, func, insert, or_, select, text, update

from gateway.core.jobs import JobCounts, JobRow, JobState
from gateway.storage.job_tables import heartbeats, jobs
from gateway.storage.jobs.job_changes import stored_job
from gateway.storage.jobs.job_queries import COLUMNS, job_of
from gateway.storage.scopes import AllTenants

__all__ = ["SqlJobUpkeep"]

# An arbitrary number that all workers on one server share.
_TAKING_LOCK = 0x5158_9018
_PROMPT = "prompt"


class SqlJobUpkeep:
    """A :class:`gateway.core.jobs.JobUpkeep` in the scope of all tenants."""

    def __init__(self, scope: AllTenants) -> None:
        self._scope = scope

    def take(self, worker: str, *, now: float, lease: float, tenant_limit: int) -> JobRow | None:
        """Give a worker the job that is next; None without one."""
        if self._scope.execute(select(jobs.c.id).where(_waits(now)).limit(1)).first() is None:
            return None
        if self._scope.dialect == "postgresql":
            self._scope.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _TAKING_LOCK})
        running = select(jobs.c.tenant, func.count()).where(_runs(now)).group_by(jobs.c.tenant)
        counts = {tenant: int(count) for tenant, count in self._scope.execute(running)}
        waiting = select(jobs.c.tenant, func.min(jobs.c.created)).where(_waits(now)).group_by(jobs.c.tenant)
        tenants = [
            (counts.get(tenant, 0), first, tenant)
            for tenant, first in self._scope.execute(waiting)
            if counts.get(tenant, 0) < tenant_limit
        ]
        if not tenants:
            return None
        tenant = min(tenants)[-1]
        query = (
            select(*COLUMNS)
            .where(_waits(now), jobs.c.tenant == tenant)
            .order_by(jobs.c.priority.desc(), jobs.c.created, jobs.c.id)
            .limit(1)
            .with_for_update()
        )
        found = self._scope.execute(query).first()
        return self._give(job_of(found), worker, now=now, lease=lease) if found else None

    def _give(self, row: JobRow, worker: str, *, now: float, lease: float) -> JobRow:
        row = replace(
            row,
            state=JobState.RUNNING,
            worker=worker,
            lease=lease,
            started=now,
            started_done=row.done,
            attempt=row.attempt + 1,
            # Its worker was silent.
            failures=row.failures + (row.state is JobState.RUNNING),
        )
        values = stored_job(row)
        del values["parameters"]
        self._scope.execute(update(jobs).where(jobs.c.id == row.id).values(**values))
        return row

    def release(self, worker: str, *, now: float) -> int:
        """End the leases of a worker that is dead; return their number."""
        where = (jobs.c.worker == worker, jobs.c.state == JobState.RUNNING.value, jobs.c.lease > now)
        return self._scope.execute(update(jobs).where(*where).values(lease=now)).rowcount

    def counts(self, *, now: float) -> JobCounts:
        """Numbers of jobs that have not ended."""
        waiting, running = (
            int(self._scope.execute(select(func.count()).select_from(jobs).where(where)).scalar_one())
            for where in (_waits(now), _runs(now))
        )
        return JobCounts(waiting, running)

    def mark_prompt(self, *, now: float) -> None:
        """Note that somebody waits for the answer of a prompt."""
        changed = update(heartbeats).where(heartbeats.c.name == _PROMPT).values(time=now)
        if not self._scope.execute(changed).rowcount:
            self._scope.execute(insert(heartbeats).values(name=_PROMPT, time=now))

    def last_prompt(self) -> float:
        """Time when somebody last waited for the answer of a prompt; 0 if nobody did."""
        query = select(heartbeats.c.time).where(heartbeats.c.name == _PROMPT)
        return float(self._scope.execute(query).scalar_one_or_none() or 0.0)


def _waits(now: float) -> ColumnElement[bool]:
    """Whether a job is queued, or its worker is silent."""
    return or_(
        and_(jobs.c.state == JobState.QUEUED.value, jobs.c.not_before <= now),
        and_(jobs.c.state == JobState.RUNNING.value, jobs.c.lease <= now),
    )


def _runs(now: float) -> ColumnElement[bool]:
    return and_(jobs.c.state == JobState.RUNNING.value, jobs.c.lease > now)
