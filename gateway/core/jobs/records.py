"""The records of jobs, as the repository keeps them."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["ENDED", "SILENT_SECONDS", "JobCounts", "JobCursor", "JobLine", "JobRow", "JobState", "Request"]

JobCursor = tuple[float, str]
"""Position in a list of jobs: time of creation and id of the last one of a page."""

SILENT_SECONDS = 20.0
"""A worker that is silent for so long has lost its jobs."""


class JobState(enum.StrEnum):
    """What becomes of a job."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})
"""States of jobs that do not go on by themselves, and do not wait either."""


class Request(enum.StrEnum):
    """What somebody asks of a running job."""

    NONE = ""
    PAUSE = "pause"
    CANCEL = "cancel"


@dataclass(frozen=True)
class JobRow:
    """A job.

    Attributes:
        id: Random id.
        tenant: Name of the tenant.
        owner: Subject that started it.
        role: Number of the owner's role when it was started: the job may do what that role may.
        kind: Name of its kind.
        parameters: Parameters, as JSON.
        state: What became of it.
        request: What is asked of it while it runs.
        priority: Jobs of a tenant with a higher one go first.
        done: Units of work that are done; the kind says what a unit is.
        total: Units of work in all; 0 while unknown.
        note: What it does now; may be empty.
        error: Why it failed; empty if it did not.
        attempt: Number of times that a worker took it.
        failures: Number of those that made no progress, since the last progress.
        created: Time when it was made, seconds since 1970, UTC.
        started: Time when a worker took it last; 0 before.
        started_done: Units that were done then.
        ended: Time when it ended; 0 before.
        not_before: Time before which no worker takes it.
        worker: Id of the worker that runs it; empty without one.
        run: Id of its entry in the queue: another one each time that it is queued. What an older one brings is void.
    """

    id: str
    tenant: str
    owner: str
    role: int
    kind: str
    parameters: Mapping[str, Any]
    state: JobState
    created: float
    request: Request = Request.NONE
    priority: int = 0
    done: float = 0.0
    total: float = 0.0
    note: str = ""
    error: str = ""
    attempt: int = 0
    failures: int = 0
    started: float = 0.0
    started_done: float = 0.0
    ended: float = 0.0
    not_before: float = 0.0
    worker: str = ""
    run: str = ""

    def seconds_left(self, now: float) -> float:
        """Estimate how many seconds the job still takes; 0 if that is not known."""
        done = self.done - self.started_done
        if self.state is not JobState.RUNNING or done <= 0 or self.total <= self.done:
            return 0.0
        return (self.total - self.done) * (now - self.started) / done


@dataclass(frozen=True)
class JobLine:
    """A line of the log of a job.

    Attributes:
        number: 1, 2, 3, ... of each job.
        time: Time when it was written, seconds since 1970, UTC.
        text: The line.
    """

    number: int
    time: float
    text: str


@dataclass(frozen=True)
class JobCounts:
    """Jobs of all tenants that have not ended.

    Attributes:
        waiting: Number of those that a worker should take now; those of dead workers are among them.
        running: Number of those that a worker runs.
    """

    waiting: int
    running: int
