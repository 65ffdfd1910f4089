"""Jobs, as the gateway describes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from google.protobuf import json_format
from google.protobuf.timestamp_pb2 import Timestamp

from sixpoint.errors import InvalidArgument
from sixpoint.errors.shortening import quoted
from sixpoint.v1 import job_service_pb2 as job_pb

__all__ = ["JobInfo", "JobLine", "job_state_number", "read_job", "read_line"]

_STATE = "JOB_STATE_"


@dataclass(frozen=True)
class JobInfo:
    """A job on the gateway.

    Attributes:
        id: Id of the job.
        kind: Name of its kind, such as "segment".
        parameters: Its parameters.
        owner: Name of the person who made it.
        state: "queued", "running", "paused", "succeeded", "failed" or "cancelled".
        stopping: Whether it is asked to pause or to end, and has not done so yet.
        priority: Jobs with a higher one go first.
        done: Units of work that are done, parts of units included.
        total: Units of work in all; 0 while unknown.
        note: What it does now.
        seconds_left: Seconds that it still takes, estimated; None if that is not known.
        error: Why it failed, or why it is tried again; empty else.
        attempt: Number of times that a worker took it.
        created: Time when it was made.
        started: Time when a worker took it last; None before.
        ended: Time when it ended; None before.
    """

    id: str
    kind: str
    parameters: Mapping[str, Any]
    owner: str
    state: str
    stopping: bool
    priority: int
    done: float
    total: float
    note: str
    seconds_left: float | None
    error: str
    attempt: int
    created: datetime
    started: datetime | None
    ended: datetime | None


@dataclass(frozen=True)
class JobLine:
    """A line that a job has written.

    Attributes:
        number: 1, 2, 3, ... of each job.
        time: Time when it was written.
        text: The line.
    """

    number: int
    time: datetime
    text: str


def read_job(message: job_pb.Job) -> JobInfo:
    """Read a job."""
    return JobInfo(
        id=message.id,
        kind=message.kind,
        parameters=json_format.MessageToDict(message.parameters),
        owner=message.owner,
        state=job_pb.JobState.Name(message.state).removeprefix(_STATE).lower(),
        stopping=message.stopping,
        priority=message.priority,
        done=message.done,
        total=message.total,
        note=message.note,
        seconds_left=message.seconds_left or None,
        error=message.error,
        attempt=message.attempt,
        created=_time(message.create_time),
        started=_time(message.start_time) if message.HasField("start_time") else None,
        ended=_time(message.end_time) if message.HasField("end_time") else None,
    )


def read_line(message: job_pb.JobLine) -> JobLine:
    """Read a line that a job has written."""
    return JobLine(message.number, _time(message.time), message.text)


def job_state_number(state: str) -> job_pb.JobState.ValueType:
    """The number of a state in the contract; of an empty one, that of none.

    Raises:
        InvalidArgument: There is no such state.
    """
    if not state:
        return job_pb.JOB_STATE_UNSPECIFIED
    names = {name.removeprefix(_STATE).lower(): number for name, number in job_pb.JobState.items()}
    del names["unspecified"]
    if state not in names:
        raise InvalidArgument(f"no job has the state {quoted(state)}; expected one of {', '.join(names)}")
    return names[state]


def _time(stamp: Timestamp) -> datetime:
    return stamp.ToDatetime(UTC)
