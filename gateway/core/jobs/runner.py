"""Run jobs that the queue hands over: store their progress, and end them as they ended."""

from __future__ import annotations

import asyncio
import enum
import logging
import time
from collections.abc import Callable
from dataclasses import replace

from gateway.core.access import Principal, Role
from gateway.core.jobs.kinds import JobKinds
from gateway.core.jobs.outcomes import FIRST_PAUSE, MAX_FAILURES, ended, released, sentence
from gateway.core.jobs.records import SILENT_SECONDS, JobRow, JobState, Request
from gateway.core.jobs.repository import JobRepository, JobWriter
from gateway.core.jobs.running import RunningJob
from gateway.core.runtime.fairness import acting_for
from gateway.core.runtime.ids import new_id
from sixpoint.errors import SixpointError

__all__ = ["JobRunner"]

_log = logging.getLogger(__name__)

# What is asked of a job is looked up, and its progress stored, so often.
_STORE_SECONDS = 1.0
# While its worker stops, what a job brought is stored if the database answers within so long.
_STOP_SECONDS = 20.0
# So long another worker has time to take a job that this one refuses since it stops.
_REFUSED_SECONDS = 1.0
_MAX_LINES = 1000
_VOID = "void"


class _Watched(enum.Enum):
    """Why a job is not watched any more."""

    ENDED = enum.auto()
    LOST = enum.auto()
    STOPPED = enum.auto()


class JobRunner:
    """Runs jobs, as many at once as the queue hands over.

    Args:
        worker: Id of this worker.
        repository: Transactions of jobs.
        kinds: Kinds of jobs.
        store: Seconds after which what a job tells is stored, and what is asked of it is seen.
        first_pause: Seconds after which a job is tried again that failed for a while; they double each time.
        now: Clock, in seconds since 1970.
    """

    def __init__(
        self,
        worker: str,
        *,
        repository: JobRepository,
        kinds: JobKinds,
        store: float = _STORE_SECONDS,
        first_pause: float = FIRST_PAUSE,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._worker = worker
        self._repository = repository
        self._kinds = kinds
        self._store_seconds = store
        self._first_pause = first_pause
        self._now = now
        self._runs: dict[str, asyncio.Task[object] | None] = {}
        self._stopping = asyncio.Event()
        self._active = time.monotonic()

    @property
    def runs(self) -> frozenset[str]:
        """Ids of the runs that it has now."""
        return frozenset(self._runs)

    @property
    def idle_seconds(self) -> float:
        """Seconds for which it has had no job."""
        return 0.0 if self._runs else time.monotonic() - self._active

    async def carry_out(self, run: str, job_id: str, tenant: str) -> str:
        """Carry out a run of a job, which the queue has handed over.

        Args:
            run: Id of the run.
            job_id: Id of its job.
            tenant: Tenant of the job.

        Returns:
            State in which it leaves the job, or "void" if the job is not this worker's, or does not want this run.

        Raises:
            SixpointError: The database was away for so long that the worker stopped before; the run is lost, and
                replaced by another one.
        """
        self._runs[run] = asyncio.current_task()
        try:
            row = await self._begin(run, job_id, tenant)
            return await self._run(row) if row else _VOID
        finally:
            del self._runs[run]
            self._active = time.monotonic()

    async def stop(self) -> None:
        """Give back what runs, and what comes."""
        self._stopping.set()
        await asyncio.gather(*filter(None, self._runs.values()), return_exceptions=True)

    async def _begin(self, run: str, job_id: str, tenant: str) -> JobRow | None:
        """Note that this worker runs a job; None if it is not to run."""

        def work(records: JobWriter) -> JobRow | None:
            row = records.lock_job(job_id)
            if row is None or row.run != run or row.state not in (JobState.QUEUED, JobState.RUNNING):
                return None
            if self._stopping.is_set():
                self._queue_again(records, row, delay=_REFUSED_SECONDS)
                return None
            row = replace(
                row,
                state=JobState.RUNNING,
                worker=self._worker,
                started=self._now(),
                started_done=row.done,
                attempt=row.attempt + 1,
                # Its worker died.
                failures=row.failures + (row.state is JobState.RUNNING),
            )
            records.update_job(row)
            return row

        while True:
            try:
                return await self._repository.write(work, tenant=tenant)
            except SixpointError as error:
                _log.warning("a job cannot begin", extra={"reason": error.reason})
                if self._stopping.is_set():
                    raise
            await asyncio.sleep(self._store_seconds)

    def _queue_again(self, records: JobWriter, row: JobRow, *, delay: float) -> JobRow:
        row = replace(row, run=new_id())
        records.update_job(row)
        records.enqueue(row, delay=delay)
        return row

    async def _run(self, row: JobRow) -> str:
        job = RunningJob(row, _owner(row))
        if row.request is not Request.NONE or row.failures > MAX_FAILURES:
            # Asked while its worker died, or a job that kills workers.
            return await self._end(job, None)
        _log.info("job begins", extra={"job": row.id, "kind": row.kind, "attempt": row.attempt})
        with acting_for(job.principal.account):
            task = asyncio.create_task(self._carry_out(job))
        try:
            watched = await self._watch(job, task)
        finally:
            await _stop(task)
        if watched is _Watched.LOST:
            return _VOID
        if watched is _Watched.STOPPED:
            return await self._give_back(job)
        return await self._end(job, task)

    async def _carry_out(self, job: RunningJob) -> None:
        kind, parameters = self._kinds.parse(job.row.kind, job.row.parameters)
        await kind.run(parameters, job)

    async def _watch(self, job: RunningJob, task: asyncio.Task[None]) -> _Watched:
        """Store what a job tells until it ends, something is asked of it, another worker has it, or this one stops."""
        stopping, seen = asyncio.create_task(self._stopping.wait()), time.monotonic()
        try:
            while not task.done():
                await asyncio.wait({task, stopping}, timeout=self._store_seconds, return_when=asyncio.FIRST_COMPLETED)
                if self._stopping.is_set() and not task.done():
                    await _stop(task)
                    return _Watched.STOPPED
                try:
                    if task.done() or job.changed:
                        stored = await self._store(job, lambda row: row)
                    else:
                        stored = await self._read(job)
                except SixpointError as error:
                    _log.warning("the state of a job cannot be stored", extra={"reason": error.reason})
                    if time.monotonic() - seen < SILENT_SECONDS:
                        continue
                    # By now this worker is taken for dead.
                    stored = None
                seen = time.monotonic()
                if stored is None or not self._has(job, stored):
                    await _stop(task)
                    return _Watched.LOST
                job.row = replace(job.row, request=stored.request)
                if stored.request is not Request.NONE:
                    await _stop(task)
        finally:
            stopping.cancel()
        return _Watched.ENDED

    async def _read(self, job: RunningJob) -> JobRow | None:
        return await self._repository.read(lambda records: records.job(job.row.id), tenant=job.row.tenant)

    def _has(self, job: RunningJob, row: JobRow) -> bool:
        """Whether a record says that this worker still has a job."""
        return (row.worker, row.run, row.attempt) == (self._worker, job.row.run, job.row.attempt)

    async def _store(self, job: RunningJob, change: Callable[[JobRow], JobRow]) -> JobRow | None:
        """Store what a job tells, and change its record; None if it is another worker's."""
        told, now = job.take_told(), self._now()

        def work(records: JobWriter) -> JobRow | None:
            row = records.lock_job(job.row.id)
            if row is None or not self._has(job, row):
                return None
            failures = 0 if told.done > row.done else row.failures
            row = change(replace(row, done=told.done, total=told.total, note=told.note, failures=failures))
            records.append_lines(row.id, told.lines, keep=_MAX_LINES)
            if row.state is JobState.QUEUED:
                return self._queue_again(records, row, delay=max(0.0, row.not_before - now))
            records.update_job(row)
            return row

        try:
            return await self._repository.write(work, tenant=job.row.tenant)
        except BaseException:
            job.put_back(told)
            raise

    async def _end(self, job: RunningJob, task: asyncio.Task[None] | None) -> str:
        """Store how a job ended; while the database is away, try again."""
        error = _error_of(task)
        # What was raised before a pause or a cancellation arrived counts; a job that was done is done.
        if error is not None and not isinstance(error, SixpointError):
            _log.error("job failed", extra={"job": job.row.id}, exc_info=error)
        finished = task is not None and not task.cancelled()

        def change(row: JobRow) -> JobRow:
            return ended(row, finished=finished, error=error, now=self._now(), first_pause=self._first_pause)

        if finished and error is not None:
            job.log(f"error: {sentence(error)}")
        return await self._store_end(job, change)

    async def _give_back(self, job: RunningJob) -> str:
        """Queue a job again whose worker stops, unless something else was asked of it."""

        def change(row: JobRow) -> JobRow:
            if row.request is Request.NONE:
                return released(row, JobState.QUEUED)
            return ended(row, finished=False, error=None, now=self._now())

        return await self._store_end(job, change)

    async def _store_end(self, job: RunningJob, change: Callable[[JobRow], JobRow]) -> str:
        end = time.monotonic() + _STOP_SECONDS
        while True:
            try:
                row = await self._store(job, change)
                break
            except SixpointError as error:
                _log.warning("the end of a job cannot be stored", extra={"reason": error.reason})
                if self._stopping.is_set() and time.monotonic() > end:
                    raise
            await asyncio.sleep(self._store_seconds)
        if row is None:
            return _VOID
        _log.info("job stopped", extra={"job": row.id, "kind": row.kind, "state": row.state.value})
        return row.state.value


def _owner(row: JobRow) -> Principal:
    return Principal(row.owner, row.tenant, frozenset({Role(row.role)}))


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})


def _error_of(task: asyncio.Task[None] | None) -> BaseException | None:
    return None if task is None or task.cancelled() else task.exception()
