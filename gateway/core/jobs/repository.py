"""What jobs need of the database, as interfaces that the storage implements.

Readers and writers see the jobs of one tenant; another tenant's job is none. Workers take those of all tenants.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias

from gateway.core.access import AuditEntry
from gateway.core.jobs.records import JobCounts, JobCursor, JobLine, JobRow, JobState
from gateway.core.runtime.transactions import Maintenance, Repository

__all__ = ["JobMaintenance", "JobReader", "JobRepository", "JobUpkeep", "JobWriter"]


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

    def append_lines(self, job_id: str, lines: Sequence[tuple[float, str]], *, keep: int) -> None:
        """Add lines, each with its time, to the log of a job, of which the last ones are kept."""
        ...

    def drop_ended(self, *, keep: int) -> None:
        """Remove all jobs that ended but the latest ones."""
        ...


class JobUpkeep(Protocol):
    """What workers do with the jobs of all tenants, within one transaction."""

    def take(self, worker: str, *, now: float, lease: float, tenant_limit: int) -> JobRow | None:
        """Give a worker the job that is next; None without one.

        A job waits if it is queued, or if the worker that had it is silent. Tenants of whom fewer jobs run go first,
        then higher priorities, then earlier jobs.

        Args:
            worker: Id of the worker.
            now: Time now.
            lease: Time until which it has the job.
            tenant_limit: Number of jobs of one tenant that may run at once.
        """
        ...

    def release(self, worker: str, *, now: float) -> int:
        """End the leases of a worker that is dead; return their number."""
        ...

    def counts(self, *, now: float) -> JobCounts:
        """Numbers of jobs that have not ended."""
        ...

    def mark_prompt(self, *, now: float) -> None:
        """Note that somebody waits for the answer of a prompt."""
        ...

    def last_prompt(self) -> float:
        """Time when somebody last waited for the answer of a prompt; 0 if nobody did."""
        ...


JobRepository: TypeAlias = Repository[JobReader, JobWriter]
"""The transactions of jobs."""

JobMaintenance: TypeAlias = Maintenance[JobUpkeep]
"""The transactions of workers."""
