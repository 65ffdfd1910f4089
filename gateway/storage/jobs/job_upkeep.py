"""What workers do with the jobs of all tenants, in SQL."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import ColumnElement, and_, delete, func, insert, literal, not_, or_, select, update

from gateway.core.jobs import JobCounts, JobState, UnfinishedJob
from gateway.storage.job_tables import heartbeats, jobs
from gateway.storage.jobs.job_queries import COLUMNS, job_of
from gateway.storage.jobs.job_queue import DbosQueue
from gateway.storage.scopes import AllTenants

__all__ = ["SqlJobUpkeep"]

_PROMPT, _SWEEP, _WORKER = "prompt", "sweep", "worker/"
# Heartbeats of workers that nobody has removed.
_FORGET_SECONDS = 86400.0


class SqlJobUpkeep:
    """A :class:`gateway.core.jobs.JobUpkeep` in the scope of all tenants.

    Args:
        scope: The scope.
        queue: The queue.
    """

    def __init__(self, scope: AllTenants, *, queue: DbosQueue) -> None:
        self._scope = scope
        self._queue = queue

    def beat(self, worker: str, *, now: float) -> None:
        """Note that a worker is alive."""
        self._mark(_WORKER + worker, now=now)

    def release(self, worker: str) -> None:
        """Note that a worker is no more."""
        self._scope.execute(delete(heartbeats).where(heartbeats.c.name == _WORKER + worker))

    def workers(self, *, since: float) -> set[str]:
        """Ids of the workers that were alive since a time."""
        names = self._scope.scalars(select(heartbeats.c.name).where(_lives(since)))
        return {name.removeprefix(_WORKER) for name in names}

    def begin_sweep(self, *, now: float, interval: float) -> bool:
        """Whether nobody has swept within an interval; if so, this is noted as a sweep."""
        old = and_(heartbeats.c.name.startswith(_WORKER), heartbeats.c.time < now - _FORGET_SECONDS)
        self._scope.execute(delete(heartbeats).where(old))
        # A time in the future is that of a clock that was wrong.
        due = or_(heartbeats.c.time <= now - interval, heartbeats.c.time > now + interval)
        changed = update(heartbeats).where(heartbeats.c.name == _SWEEP, due).values(time=now)
        if self._scope.execute(changed).rowcount:
            return True
        if self._scope.execute(select(heartbeats.c.time).where(heartbeats.c.name == _SWEEP)).first() is not None:
            return False
        self._mark(_SWEEP, now=now)
        return True

    def unfinished(self) -> list[UnfinishedJob]:
        """All jobs that are queued or run."""
        goes_on = jobs.c.state.in_((JobState.QUEUED.value, JobState.RUNNING.value))
        return [(row.id, row.run) for row in self._scope.execute(select(jobs.c.id, jobs.c.run).where(goes_on))]

    def queue_again(self, job_id: str, run: str, *, new_run: str) -> bool:
        """Queue a job again whose run was lost; return whether that was still its run."""
        goes_on = jobs.c.state.in_((JobState.QUEUED.value, JobState.RUNNING.value))
        mine = (jobs.c.id == job_id, jobs.c.run == run, goes_on)
        found = self._scope.execute(select(*COLUMNS).where(*mine).with_for_update()).one_or_none()
        if found is None:
            return False
        self._scope.execute(update(jobs).where(jobs.c.id == job_id).values(run=new_run))
        row = replace(job_of(found), run=new_run)
        self._queue.enqueue(self._scope.connection, row, tenant=row.tenant)
        return True

    def counts(self, *, now: float, since: float) -> JobCounts:
        """Numbers of jobs that have not ended."""
        lives = select(heartbeats.c.name).where(_lives(since), heartbeats.c.name == literal(_WORKER) + jobs.c.worker)
        running = and_(jobs.c.state == JobState.RUNNING.value, lives.correlate(jobs).exists())
        orphaned = and_(jobs.c.state == JobState.RUNNING.value, not_(lives.correlate(jobs).exists()))
        waiting = or_(and_(jobs.c.state == JobState.QUEUED.value, jobs.c.not_before <= now), orphaned)
        return JobCounts(*(self._count(where) for where in (waiting, running)))

    def _count(self, where: ColumnElement[bool]) -> int:
        return int(self._scope.execute(select(func.count()).select_from(jobs).where(where)).scalar_one())

    def mark_prompt(self, *, now: float) -> None:
        """Note that somebody waits for the answer of a prompt."""
        self._mark(_PROMPT, now=now)

    def last_prompt(self) -> float:
        """Time when somebody last waited for the answer of a prompt; 0 if nobody did."""
        query = select(heartbeats.c.time).where(heartbeats.c.name == _PROMPT)
        return float(self._scope.execute(query).scalar_one_or_none() or 0.0)

    def _mark(self, name: str, *, now: float) -> None:
        changed = update(heartbeats).where(heartbeats.c.name == name).values(time=now)
        if not self._scope.execute(changed).rowcount:
            self._scope.execute(insert(heartbeats).values(name=name, time=now))


def _lives(since: float) -> ColumnElement[bool]:
    return and_(heartbeats.c.name.startswith(_WORKER), heartbeats.c.time > since)
