"""What jobs need of the database, as interfaces that the storage implements.

Readers and writers see the jobs of one tenant; another tenant's job is none. Workers run those of all tenants, which
they get from a queue. A job and its entry in the queue change in one transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol, TypeAlias

from gateway.core.access import AuditEntry
from gateway.core.jobs.records import JobCounts, JobCursor, JobLine, JobRow, JobState
from gateway.core.runtime.transactions import Maintenance, Repository

__all__ = ["JobMaintenance", "JobQueue", "JobReader", "JobRepository", "JobUpkeep", "JobWriter", "UnfinishedJob"]

UnfinishedJob = tuple[str, str]
"""A job that is queued or runs: its id, and the id of its run."""


class JobReader(Protocol):
    """Queries on the jobs of one tenant, within one transaction."""

    def job(self, job_id: str) -> JobRow | None:
        """The job of this id."""
        ...

    def jobs(self, *, state: JobState | None, after: JobCursor | None, limit: int) -> list[JobRow]:
        """Jobs, the latest first, behind a place."""
        ...

    def count_unfinished(self) -> int:
        """Number of jobs that have not ended."""
        ...

    def job_lines(self, job_id: str, *, after: int, limit: int) -> list[JobLine]:
        """Lines of the log of a job by number, behind a number."""
        ...


class JobWriter(JobReader, Protocol):
    """Queries and changes of the jobs of one tenant, within one transaction."""

    def audit(self, entry: AuditEntry) -> None:
        """Write an entry to the audit log, as the last change of the transaction."""
        ...

    def lock_job(self, job_id: str) -> JobRow | None:
        """The job of this id; until this transaction ends, no other one changes it."""
        ...

    def lock_jobs(self) -> None:
        """Block other transactions that make jobs of this tenant until this one ends."""
        ...

    def insert_job(self, row: JobRow) -> None:
        """Add a job."""
        ...

    def update_job(self, row: JobRow) -> None:
        """Store a job that was locked."""
        ...

    def enqueue(self, row: JobRow, *, delay: float = 0.0) -> None:
        """Add the run of a job to the queue: it waits there as soon as this transaction is committed.

        Args:
            row: The job.
            delay: Seconds for which no worker gets it.
        """
        ...

    def append_lines(self, job_id: str, lines: Sequence[tuple[float, str]], *, keep: int) -> None:
        """Add lines, each with its time, to the log of a job, of which the last ones are kept."""
        ...

    def drop_ended(self, *, keep: int) -> None:
        """Remove all jobs that ended but the latest ones."""
        ...


class JobUpkeep(Protocol):
    """What workers do with the jobs of all tenants, within one transaction."""

    def beat(self, worker: str, *, now: float) -> None:
        """Note that a worker is alive."""
        ...

    def release(self, worker: str) -> None:
        """Note that a worker is no more."""
        ...

    def workers(self, *, since: float) -> set[str]:
        """Ids of the workers that were alive since a time."""
        ...

    def begin_sweep(self, *, now: float, interval: float) -> bool:
        """Whether nobody has swept within an interval; if so, this is noted as a sweep.

        Args:
            now: Time now.
            interval: Seconds between two sweeps.
        """
        ...

    def unfinished(self) -> list[UnfinishedJob]:
        """All jobs that are queued or run."""
        ...

    def queue_again(self, job_id: str, run: str, *, new_run: str) -> bool:
        """Queue a job again whose run was lost; return whether that was still its run.

        Args:
            job_id: Id of the job.
            run: Id of the run that was lost.
            new_run: Id of the new one.
        """
        ...

    def counts(self, *, now: float, since: float) -> JobCounts:
        """Numbers of jobs that have not ended.

        Args:
            now: Time now.
            since: Time since when living workers have said that they are alive.
        """
        ...

    def mark_prompt(self, *, now: float) -> None:
        """Note that somebody waits for the answer of a prompt."""
        ...

    def last_prompt(self) -> float:
        """Time when somebody last waited for the answer of a prompt; 0 if nobody did."""
        ...


class JobQueue(Protocol):
    """The queue of the runs of jobs: workers get those of each tenant by priority, at most so many at once."""

    async def withdraw(self, runs: Sequence[str]) -> None:
        """Take runs out of the queue that need not begin."""
        ...

    async def claimed(self) -> Mapping[str, str]:
        """The runs that workers have got and not ended, each with the id of its worker."""
        ...

    async def pending(self, runs: Collection[str]) -> set[str]:
        """Those of some runs that wait in the queue, or that workers have got."""
        ...

    async def give_back(self, runs: Mapping[str, str]) -> None:
        """Put runs into the queue again whose workers do not have them any more.

        Args:
            runs: Ids of the runs, each with the id of that worker; what another one has by now stays there.
        """
        ...

    async def drop_ended(self, *, before: float) -> int:
        """Remove runs that ended before a time, seconds since 1970; return their number."""
        ...


JobRepository: TypeAlias = Repository[JobReader, JobWriter]
"""The transactions of jobs."""

JobMaintenance: TypeAlias = Maintenance[JobUpkeep]
"""The transactions of workers."""
