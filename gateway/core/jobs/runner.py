"""Run jobs: take the next one, say that its worker is alive, store its progress, and end it as it ended."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import replace

from gateway.core.access import Principal, Role
from gateway.core.jobs.kinds import JobKinds
from gateway.core.jobs.records import JobRow, JobState, Request
from gateway.core.jobs.repository import JobMaintenance, JobRepository, JobWriter
from gateway.core.jobs.running import RunningJob
from gateway.core.runtime.fairness import acting_for
from sixpoint.errors import DeadlineExceeded, ModelNotFound, ResourceExhausted, SixpointError, Unavailable

__all__ = ["JobRunner"]

_log = logging.getLogger(__name__)

_POLL_SECONDS = 0.5
# What is asked of a job is looked up, and its progress stored, so often.
_STORE_SECONDS = 1.0
# A worker that is silent for so long has lost its jobs.
_LEASE_SECONDS = 20.0
_RENEW_SECONDS = 5.0
_MAX_FAILURES = 6
_FIRST_PAUSE, _MAX_PAUSE = 2.0, 300.0
_MAX_LINES = 1000
# They pass by themselves. A job's model was there when the job was made: Triton may be loading it just now.
_TEMPORARY = (Unavailable, ResourceExhausted, DeadlineExceeded, ModelNotFound)


class JobRunner:
    """Runs jobs, some at once.

    Args:
        worker: Id of this worker.
        repository: Transactions of jobs.
        maintenance: Transactions of workers.
        kinds: Kinds of jobs.
        at_once: Number of jobs that run at once.
        tenant_limit: Number of jobs of one tenant that all workers together run at once.
        lease: Seconds after which a silent worker has lost its jobs.
        poll: Seconds between two looks for jobs.
        store: Seconds after which what a job tells is stored, and what is asked of it is seen.
        now: Clock, in seconds since 1970.
    """

    def __init__(
        self,
        worker: str,
        *,
        repository: JobRepository,
        maintenance: JobMaintenance,
        kinds: JobKinds,
        at_once: int,
        tenant_limit: int,
        lease: float = _LEASE_SECONDS,
        poll: float = _POLL_SECONDS,
        store: float = _STORE_SECONDS,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._worker = worker
        self._repository = repository
        self._maintenance = maintenance
        self._kinds = kinds
        self._at_once = at_once
        self._tenant_limit = tenant_limit
        self._lease = lease
        self._poll = poll
        self._store_seconds = store
        self._now = now
        self._tasks: set[asyncio.Task[None]] = set()
        self._active = time.monotonic()

    @property
    def idle_seconds(self) -> float:
        """Seconds for which it has had no job."""
        return 0.0 if self._tasks else time.monotonic() - self._active

    async def run(self) -> None:
        """Run jobs until cancelled; those that run then are given back, and go on elsewhere."""
        try:
            while True:
                row = await self._take_whole() if len(self._tasks) < self._at_once else None
                if row is None:
                    await asyncio.sleep(self._poll)
                    continue
                task = asyncio.create_task(self._run(row))
                self._tasks.add(task)
                task.add_done_callback(self._forget)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._active = time.monotonic()
        if not task.cancelled() and (error := task.exception()):
            # Its lease ends, and it is taken again.
            _log.error("a job was lost", exc_info=error)

    async def _take_whole(self) -> JobRow | None:
        """Take a job; one that is taken while this is cancelled is given back."""
        taking = asyncio.ensure_future(self._take())
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            if row := await taking:
                await self._give_back(RunningJob(row, _owner(row)))
            raise

    async def _take(self) -> JobRow | None:
        now = self._now()
        try:
            return await self._maintenance.write(
                lambda upkeep: upkeep.take(
                    self._worker, now=now, lease=now + self._lease, tenant_limit=self._tenant_limit
                )
            )
        except SixpointError as error:
            _log.warning("jobs cannot be taken", extra={"reason": error.reason})
            return None

    async def _run(self, row: JobRow) -> None:
        if row.request is not Request.NONE or row.failures > _MAX_FAILURES:
            # Asked while its worker died, or a job that kills workers.
            await self._end(RunningJob(row, _owner(row)), None)
            return
        _log.info("job begins", extra={"job": row.id, "kind": row.kind, "attempt": row.attempt})
        job = RunningJob(row, _owner(row))
        with acting_for(job.principal.account):
            task = asyncio.create_task(self._carry_out(job))
        try:
            lost = await self._watch(job, task)
        except asyncio.CancelledError:
            await _stop(task)
            await asyncio.shield(self._give_back(job))
            raise
        if not lost:
            await self._end(job, task)

    async def _carry_out(self, job: RunningJob) -> None:
        kind, parameters = self._kinds.parse(job.row.kind, job.row.parameters)
        await kind.run(parameters, job)

    async def _watch(self, job: RunningJob, task: asyncio.Task[None]) -> bool:
        """Store what a job tells until it ends, or something is asked of it; return whether it is another worker's."""
        renewed = time.monotonic()
        while not task.done():
            await asyncio.wait({task}, timeout=self._store_seconds)
            try:
                if task.done() or job.changed or time.monotonic() - renewed > _RENEW_SECONDS:
                    stored = await self._store(job, lambda row: row)
                    renewed = time.monotonic()
                else:
                    stored = await self._repository.read(lambda records: records.job(job.row.id), tenant=job.row.tenant)
            except SixpointError as error:
                _log.warning("the state of a job cannot be stored", extra={"reason": error.reason})
                if time.monotonic() - renewed < self._lease:
                    continue
                stored = None
            if stored is None or (stored.worker, stored.attempt) != (self._worker, job.row.attempt):
                await _stop(task)
                return True
            job.row = replace(job.row, request=stored.request)
            if stored.request is not Request.NONE:
                await _stop(task)
        return False

    async def _store(self, job: RunningJob, change: Callable[[JobRow], JobRow]) -> JobRow | None:
        """Store what a job tells, and change its record; None if it is another worker's."""
        told, now = job.take_told(), self._now()

        def work(records: JobWriter) -> JobRow | None:
            row = records.lock_job(job.row.id)
            if row is None or (row.worker, row.attempt) != (self._worker, job.row.attempt):
                return None
            failures = 0 if told.done > row.done else row.failures
            row = replace(row, done=told.done, total=told.total, note=told.note, failures=failures)
            row = change(replace(row, lease=now + self._lease))
            records.update_job(row)
            records.append_lines(row.id, told.lines, keep=_MAX_LINES)
            return row

        try:
            return await self._repository.write(work, tenant=job.row.tenant)
        except BaseException:
            job.put_back(told)
            raise

    async def _end(self, job: RunningJob, task: asyncio.Task[None] | None) -> None:
        """Store how a job ended; while the database is away, try again for as long as the job is this worker's."""
        error = _error_of(task)
        # What was raised before a pause or a cancellation arrived counts; a job that was done is done.
        if isinstance(error, asyncio.CancelledError):
            error = None
        elif error is not None and not isinstance(error, SixpointError):
            _log.error("job failed", extra={"job": job.row.id}, exc_info=error)
        finished = task is not None and not task.cancelled()
        message = _sentence(error) if finished else ""

        def change(row: JobRow) -> JobRow:
            return _ended(row, finished=finished, error=error, message=message, now=self._now())

        if message:
            job.log(f"error: {message}")
        end = time.monotonic() + self._lease
        while True:
            try:
                row = await self._store(job, change)
                break
            except SixpointError:
                if time.monotonic() > end:
                    raise
                await asyncio.sleep(self._store_seconds)
        if row is not None:
            _log.info("job stopped", extra={"job": row.id, "kind": row.kind, "state": row.state.value})

    async def _give_back(self, job: RunningJob) -> None:
        """Queue a job again whose worker stops."""
        with contextlib.suppress(SixpointError):
            await self._store(job, lambda row: _released(row, JobState.QUEUED))


def _owner(row: JobRow) -> Principal:
    return Principal(row.owner, row.tenant, frozenset({Role(row.role)}))


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})


def _error_of(task: asyncio.Task[None] | None) -> BaseException | None:
    return None if task is None or task.cancelled() else task.exception()


def _sentence(error: BaseException | None) -> str:
    if error is None:
        return ""
    if isinstance(error, SixpointError):
        return error.message
    return "an internal error; the log of the worker says more"


def _released(row: JobRow, state: JobState) -> JobRow:
    return replace(row, state=state, request=Request.NONE, worker="", lease=0.0)


def _ended(row: JobRow, *, finished: bool, error: BaseException | None, message: str, now: float) -> JobRow:
    """The record of a job that does not run any more.

    Args:
        row: Record so far.
        finished: Whether it ended by itself.
        error: Its error; None without one.
        message: That error in words.
        now: Time now.
    """
    if finished and error is None:
        return replace(_released(row, JobState.SUCCEEDED), ended=now, note="", error="")
    if row.request is Request.CANCEL:
        return replace(_released(row, JobState.CANCELLED), ended=now)
    if row.request is Request.PAUSE:
        return _released(row, JobState.PAUSED)
    failures = row.failures + finished
    temporary = error is not None and (isinstance(error, _TEMPORARY) or not isinstance(error, SixpointError))
    if temporary and failures < _MAX_FAILURES:
        # The pause grows with each attempt that came to nothing.
        pause = min(_MAX_PAUSE, _FIRST_PAUSE * 2**failures)
        return replace(_released(row, JobState.QUEUED), failures=failures, not_before=now + pause, error=message)
    died = "its worker died again and again while it ran; the log of the workers says more, such as too little memory"
    return replace(_released(row, JobState.FAILED), ended=now, failures=failures, error=message or died)
