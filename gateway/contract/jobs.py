"""The calls of ``sixpoint.v1.JobService``."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from google.protobuf import json_format
from google.protobuf.struct_pb2 import Struct

from gateway.contract.dataset_messages import time_to_message
from gateway.core.access import Principal
from gateway.core.jobs import JobRow, Jobs, JobState, Request
from sixpoint.errors import InvalidArgument, Violation
from sixpoint.v1 import job_service_pb2 as job_pb

__all__ = ["JobCalls", "job_to_message", "read_struct"]

_STATES = {
    JobState.QUEUED: job_pb.JOB_STATE_QUEUED,
    JobState.RUNNING: job_pb.JOB_STATE_RUNNING,
    JobState.PAUSED: job_pb.JOB_STATE_PAUSED,
    JobState.SUCCEEDED: job_pb.JOB_STATE_SUCCEEDED,
    JobState.FAILED: job_pb.JOB_STATE_FAILED,
    JobState.CANCELLED: job_pb.JOB_STATE_CANCELLED,
}


class JobCalls:
    """The calls of ``sixpoint.v1.JobService``.

    Args:
        jobs: All jobs.
    """

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    async def create_job(self, request: job_pb.CreateJobRequest, principal: Principal) -> job_pb.CreateJobResponse:
        """Make a job."""
        row = await self._jobs.create(
            request.kind, read_struct(request.parameters), priority=request.priority, principal=principal
        )
        return job_pb.CreateJobResponse(job=job_to_message(row))

    async def get_job(self, request: job_pb.GetJobRequest, principal: Principal) -> job_pb.GetJobResponse:
        """Describe a job."""
        return job_pb.GetJobResponse(job=job_to_message(await self._jobs.get(request.id, principal=principal)))

    async def list_jobs(self, request: job_pb.ListJobsRequest, principal: Principal) -> job_pb.ListJobsResponse:
        """List the jobs of the tenant."""
        page = await self._jobs.page(
            principal=principal, state=_read_state(request.state), size=request.page_size, token=request.page_token
        )
        return job_pb.ListJobsResponse(jobs=map(job_to_message, page.entries), next_page_token=page.next_token)

    async def watch_job(
        self, request: job_pb.WatchJobRequest, principal: Principal
    ) -> AsyncGenerator[job_pb.WatchJobResponse]:
        """Yield a job now and whenever it has changed."""
        async with aclosing(self._jobs.watch(request.id, principal=principal)) as rows:
            async for row in rows:
                yield job_pb.WatchJobResponse(job=job_to_message(row))

    async def cancel_job(self, request: job_pb.CancelJobRequest, principal: Principal) -> job_pb.CancelJobResponse:
        """Cancel a job."""
        return job_pb.CancelJobResponse(job=job_to_message(await self._jobs.cancel(request.id, principal=principal)))

    async def pause_job(self, request: job_pb.PauseJobRequest, principal: Principal) -> job_pb.PauseJobResponse:
        """Pause a job."""
        return job_pb.PauseJobResponse(job=job_to_message(await self._jobs.pause(request.id, principal=principal)))

    async def resume_job(self, request: job_pb.ResumeJobRequest, principal: Principal) -> job_pb.ResumeJobResponse:
        """Let a job go on."""
        return job_pb.ResumeJobResponse(job=job_to_message(await self._jobs.resume(request.id, principal=principal)))

    async def list_job_lines(
        self, request: job_pb.ListJobLinesRequest, principal: Principal
    ) -> job_pb.ListJobLinesResponse:
        """List the lines that a job has written."""
        page = await self._jobs.lines(request.id, principal=principal, size=request.page_size, after=request.after)
        lines = [
            job_pb.JobLine(number=line.number, time=time_to_message(line.time), text=line.text) for line in page.entries
        ]
        return job_pb.ListJobLinesResponse(lines=lines, more=bool(page.next_token))


def read_struct(message: Struct, *, field: str = "parameters") -> dict[str, Any]:
    """Read JSON of a request.

    Raises:
        InvalidArgument: It has what JSON does not have.
    """
    # Numbers of a Struct are floating-point; whole ones may be meant as such.
    try:
        return dict(json_format.MessageToDict(message))
    except ValueError:
        # JSON has no NaN and no infinity.
        raise InvalidArgument(
            f"a value of {field} is no JSON value, such as NaN",
            violations=(Violation(field, "JSON values: finite numbers, texts, true, false, lists, objects"),),
        ) from None


def _read_state(number: int) -> JobState | None:
    states = {message: state for state, message in _STATES.items()}
    if number and number not in states:
        raise InvalidArgument(f"unknown state {number}", violations=(Violation("state", "one of the contract"),))
    return states.get(number)  # type: ignore[call-overload]


def job_to_message(row: JobRow) -> job_pb.Job:
    """Describe a job."""
    parameters = Struct()
    parameters.update(dict(row.parameters))
    return job_pb.Job(
        id=row.id,
        kind=row.kind,
        parameters=parameters,
        owner=row.owner,
        state=_STATES[row.state],
        stopping=row.request is not Request.NONE,
        priority=row.priority,
        done=row.done,
        total=row.total,
        note=row.note,
        seconds_left=row.seconds_left(time.time()),
        error=row.error,
        attempt=row.attempt,
        create_time=time_to_message(row.created),
        start_time=time_to_message(row.started) if row.started else None,
        end_time=time_to_message(row.ended) if row.ended else None,
    )
