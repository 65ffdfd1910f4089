"""What becomes of a job whose run is over: it has ended, is paused, or is tried again later."""

from __future__ import annotations

from dataclasses import replace

from gateway.core.jobs.records import JobRow, JobState, Request
from sixpoint.errors import DeadlineExceeded, ModelNotFound, ResourceExhausted, SixpointError, Unavailable

__all__ = ["FIRST_PAUSE", "MAX_FAILURES", "ended", "released", "sentence"]

MAX_FAILURES = 6
"""Runs without progress after which a job has failed."""
FIRST_PAUSE = 2.0
"""Seconds after which a job is tried again; they double with each run that came to nothing."""
_MAX_PAUSE = 300.0
# They pass by themselves. A job's model was there when the job was made: Triton may be loading it just now.
_TEMPORARY = (Unavailable, ResourceExhausted, DeadlineExceeded, ModelNotFound)


def ended(
    row: JobRow, *, finished: bool, error: BaseException | None, now: float, first_pause: float = FIRST_PAUSE
) -> JobRow:
    """The record of a job that does not run any more.

    Args:
        row: Record so far.
        finished: Whether it ended by itself.
        error: Its error; None without one.
        now: Time now.
        first_pause: Seconds after which it is tried again the first time.
    """
    if finished and error is None:
        return replace(released(row, JobState.SUCCEEDED), ended=now, note="", error="")
    if row.request is Request.CANCEL:
        return replace(released(row, JobState.CANCELLED), ended=now)
    if row.request is Request.PAUSE:
        return released(row, JobState.PAUSED)
    failures = row.failures + finished
    message = sentence(error)
    temporary = error is not None and (isinstance(error, _TEMPORARY) or not isinstance(error, SixpointError))
    if temporary and failures < MAX_FAILURES:
        pause = min(_MAX_PAUSE, first_pause * 2**failures)
        return replace(released(row, JobState.QUEUED), failures=failures, not_before=now + pause, error=message)
    died = "its worker died again and again while it ran; the log of the workers says more, such as too little memory"
    return replace(released(row, JobState.FAILED), ended=now, failures=failures, error=message or died)


def released(row: JobRow, state: JobState) -> JobRow:
    """The record of a job that no worker has, in a state."""
    return replace(row, state=state, request=Request.NONE, worker="")


def sentence(error: BaseException | None) -> str:
    """An error in words for people; empty without one."""
    if error is None:
        return ""
    if isinstance(error, SixpointError):
        return error.message
    return "an internal error; the log of the worker says more"
