"""Jobs: made, listed, watched (server-sent events), paused, resumed, cancelled."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing

from fastapi import Response
from fastapi.sse import format_sse_event

from gateway.contract import JobCalls
from gateway.core.access import Role
from gateway.core.runtime import DeadlineLimits
from gateway.core.runtime.fairness import Places
from gateway.http.calls import Call
from gateway.http.rest.event_stream import EventReply
from gateway.http.rest.examples import JOB
from gateway.http.rest.messages import read_request
from gateway.http.rest.operations import Operation, contract_operation
from gateway.http.rest.schemas import dump, schema_of
from sixpoint.v1 import job_service_pb2 as job_pb

__all__ = ["job_operations"]

_JOB = "/jobs/{id}"
_EVENTS = f"{_JOB}/events"


def job_operations(
    calls: JobCalls, streams: Places, deadlines: tuple[DeadlineLimits, DeadlineLimits]
) -> list[Operation]:
    """The operations on jobs.

    Args:
        calls: Calls on jobs.
        streams: Places of those who watch a job.
        deadlines: Deadlines of calls, and of watching.
    """
    short, watching = deadlines
    return [*_jobs(calls, short), *_changes(calls, short), _watching(calls, streams, watching)]


def _jobs(calls: JobCalls, deadlines: DeadlineLimits) -> Sequence[Operation]:
    return [
        contract_operation(
            "POST",
            "/jobs",
            "createJob",
            "Make a job",
            job_pb.CreateJobRequest,
            calls.create_job,
            Role.ENGINEER,
            deadlines,
            in_body=True,
            part="job",
            status=201,
            location=lambda job: f"jobs/{job.id}",
            example=JOB,
        ),
        contract_operation(
            "GET",
            "/jobs",
            "listJobs",
            "List the jobs of your tenant, the latest first",
            job_pb.ListJobsRequest,
            calls.list_jobs,
            Role.VIEWER,
            deadlines,
        ),
        contract_operation(
            "GET",
            _JOB,
            "getJob",
            "Describe a job",
            job_pb.GetJobRequest,
            calls.get_job,
            Role.VIEWER,
            deadlines,
            part="job",
        ),
        contract_operation(
            "GET",
            f"{_JOB}/lines",
            "listJobLines",
            "List the lines that a job has written",
            job_pb.ListJobLinesRequest,
            calls.list_job_lines,
            Role.VIEWER,
            deadlines,
        ),
    ]


def _changes(calls: JobCalls, deadlines: DeadlineLimits) -> Sequence[Operation]:
    cancel = contract_operation(
        "POST",
        f"{_JOB}/cancel",
        "cancelJob",
        "Cancel a job",
        job_pb.CancelJobRequest,
        calls.cancel_job,
        Role.ENGINEER,
        deadlines,
        part="job",
    )
    pause = contract_operation(
        "POST",
        f"{_JOB}/pause",
        "pauseJob",
        "Pause a job",
        job_pb.PauseJobRequest,
        calls.pause_job,
        Role.ENGINEER,
        deadlines,
        part="job",
    )
    resume = contract_operation(
        "POST",
        f"{_JOB}/resume",
        "resumeJob",
        "Let a job go on that was paused, or that failed",
        job_pb.ResumeJobRequest,
        calls.resume_job,
        Role.ENGINEER,
        deadlines,
        part="job",
    )
    return [cancel, pause, resume]


def _watching(calls: JobCalls, streams: Places, deadlines: DeadlineLimits) -> Operation:
    async def watch(call: Call) -> Response:
        request = await read_request(call, job_pb.WatchJobRequest, path=_EVENTS, body=False)
        responses = calls.watch_job(request, call.principal)
        await call.stack.enter_async_context(streams.take())
        await call.stack.enter_async_context(aclosing(responses))
        # What is refused is so before the answer begins.
        async with call.while_connected():
            first = await anext(responses)
        return EventReply(call, _events(first, responses))

    return Operation(
        "GET",
        _EVENTS,
        "watchJob",
        "Watch a job until it has ended or is paused",
        watch,
        Role.VIEWER,
        deadlines,
        description="Server-sent events: job (a Job) now and whenever it has changed, or problem if that fails. The "
        "job goes on when the connection is closed: watch it again.",
        message=job_pb.WatchJobRequest,
        events={"job": schema_of(job_pb.Job.DESCRIPTOR)},
    )


async def _events(
    first: job_pb.WatchJobResponse, others: AsyncGenerator[job_pb.WatchJobResponse]
) -> AsyncIterator[bytes]:
    yield format_sse_event(data_str=dump(first.job).decode(), event="job")
    async for response in others:
        yield format_sse_event(data_str=dump(response.job).decode(), event="job")
