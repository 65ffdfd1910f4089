"""A job while it runs: what it tells is collected until it is stored."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from gateway.core.access import Principal
from gateway.core.jobs.records import JobRow

__all__ = ["RunningJob", "Told"]

_MAX_TEXT = 500
# Lines that wait to be stored; of more, the first ones are dropped.
_MAX_WAITING = 1000


@dataclass(frozen=True)
class Told:
    """What a job has told.

    Attributes:
        done: Units of work that are done.
        total: Units of work in all.
        note: What it does now.
        lines: Lines for its log, each with its time.
    """

    done: float
    total: float
    note: str
    lines: tuple[tuple[float, str], ...]


@dataclass(eq=False)
class RunningJob:
    """A :class:`gateway.core.jobs.kinds.JobContext`.

    Attributes:
        row: Record of the job, as its worker took it.
        principal: Who started it.
    """

    row: JobRow
    principal: Principal
    _told: Told = field(init=False)
    changed: bool = field(default=False, init=False)
    """Whether it has told something that is not stored."""

    def __post_init__(self) -> None:
        self._told = Told(self.row.done, self.row.total, self.row.note, ())

    @property
    def job_id(self) -> str:
        """Id of the job."""
        return self.row.id

    def progress(self, done: float, total: float, note: str = "") -> None:
        """Say how far the job is."""
        self._told = Told(done, total, note[:_MAX_TEXT], self._told.lines)
        self.changed = True

    def log(self, text: str) -> None:
        """Add a line to the log of the job."""
        lines = (*self._told.lines, (time.time(), text[:_MAX_TEXT]))[-_MAX_WAITING:]
        self._told = Told(self._told.done, self._told.total, self._told.note, lines)
        self.changed = True

    def take_told(self) -> Told:
        """What it has told; its lines are taken away."""
        told = self._told
        self._told = Told(told.done, told.total, told.note, ())
        self.changed = False
        return told

    def put_back(self, told: Told) -> None:
        """Take lines back that could not be stored."""
        lines = (*told.lines, *self._told.lines)[-_MAX_WAITING:]
        self._told = Told(self._told.done, self._told.total, self._told.note, lines)
        self.changed = True
