"""The operations on jobs: make them, list, watch, pause, resume and cancel."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.struct_pb2 import Struct

from sixpoint.client._operations.client import ClientOperations
from sixpoint.client._sansio import Call, Operation, Pause, ServerStreamingCall
from sixpoint.client.job_models import JobInfo, JobLine, job_state_number, read_job, read_line
from sixpoint.errors import DeadlineExceeded, InternalError, InvalidArgument
from sixpoint.v1 import job_service_pb2 as job_pb

__all__ = ["JobCallback", "JobOperations"]

JobCallback = Callable[[JobInfo], None]
"""Called with a job whenever it has changed."""

_PAGE_SIZE = 1000
# The gateway ends streams after a day; jobs may take longer.
_WATCH_SECONDS = 3600.0
_PAUSE_SECONDS = 1.0
_STOPPED = ("paused", "succeeded", "failed", "cancelled")


@dataclass(frozen=True)
class JobOperations:
    """The operations on jobs, the same for both drivers.

    Attributes:
        client: The operations of the client.
    """

    client: ClientOperations

    def create(self, kind: str, parameters: Mapping[str, Any], *, priority: int) -> Operation[JobInfo]:
        """Make a job. It is not repeated: there would be two."""
        message = Struct()
        try:
            message.update(
                {name: list(value) if isinstance(value, tuple) else value for name, value in parameters.items()}
            )
        except (TypeError, ValueError) as error:
            raise InvalidArgument(f"the parameters cannot be sent; expected what JSON has: {error}") from None
        request = job_pb.CreateJobRequest(kind=kind, parameters=message, priority=priority)
        stub, timeout = self.client.stubs.jobs, self.client.timeout.call
        response = yield from Call(stub.CreateJob, request, timeout, repeatable=False)
        return read_job(response.job)

    def get(self, job_id: str) -> Operation[JobInfo]:
        """Describe a job."""
        request = job_pb.GetJobRequest(id=job_id)
        response = yield from Call(self.client.stubs.jobs.GetJob, request, self.client.timeout.call)
        return read_job(response.job)

    def all(self, *, state: str) -> Operation[list[JobInfo]]:
        """List jobs, the latest first."""
        found: list[JobInfo] = []
        token = ""
        while True:
            request = job_pb.ListJobsRequest(state=job_state_number(state), page_size=_PAGE_SIZE, page_token=token)
            response = yield from Call(self.client.stubs.jobs.ListJobs, request, self.client.timeout.call)
            found += map(read_job, response.jobs)
            token = response.next_page_token
            if not token:
                return found

    def watch(self, job_id: str, *, on_change: JobCallback | None, seconds: float | None) -> Operation[JobInfo]:
        """Wait until a job has ended or is paused."""
        infos: list[JobInfo] = []
        end = None if seconds is None else time.monotonic() + seconds

        def receive(response: job_pb.WatchJobResponse) -> None:
            info = read_job(response.job)
            if on_change and infos[-1:] != [info]:
                on_change(info)
            infos[:] = [info]

        while True:
            left = _WATCH_SECONDS if end is None else end - time.monotonic()
            if left <= 0:
                raise DeadlineExceeded(f"the job has not ended within {seconds:g} s; it goes on")
            request = job_pb.WatchJobRequest(id=job_id)
            try:
                yield from ServerStreamingCall(
                    self.client.stubs.jobs.WatchJob, request, receive, min(left, _WATCH_SECONDS)
                )
            except DeadlineExceeded:
                # The time of one call is over, or the caller's, which is seen above.
                continue
            if not infos:
                raise InternalError("the gateway did not describe the job")
            if infos[-1].state in _STOPPED:
                return infos[-1]
            yield from Pause(_PAUSE_SECONDS)

    def cancel(self, job_id: str) -> Operation[JobInfo]:
        """Cancel a job."""
        request = job_pb.CancelJobRequest(id=job_id)
        response = yield from Call(self.client.stubs.jobs.CancelJob, request, self.client.timeout.call)
        return read_job(response.job)

    def pause(self, job_id: str) -> Operation[JobInfo]:
        """Pause a job."""
        request = job_pb.PauseJobRequest(id=job_id)
        response = yield from Call(self.client.stubs.jobs.PauseJob, request, self.client.timeout.call)
        return read_job(response.job)

    def resume(self, job_id: str) -> Operation[JobInfo]:
        """Let a job go on."""
        request = job_pb.ResumeJobRequest(id=job_id)
        response = yield from Call(self.client.stubs.jobs.ResumeJob, request, self.client.timeout.call)
        return read_job(response.job)

    def lines(self, job_id: str, *, after: int) -> Operation[list[JobLine]]:
        """List the lines that a job has written."""
        found: list[JobLine] = []
        while True:
            request = job_pb.ListJobLinesRequest(id=job_id, page_size=_PAGE_SIZE, after=after)
            response = yield from Call(self.client.stubs.jobs.ListJobLines, request, self.client.timeout.call)
            found += map(read_line, response.lines)
            if not response.more:
                return found
            after = found[-1].number
