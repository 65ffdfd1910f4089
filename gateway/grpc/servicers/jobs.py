"""``sixpoint.v1.JobService``."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import grpc.aio

from gateway.contract import JobCalls
from gateway.core.runtime.fairness import Places
from gateway.grpc.identity import caller_of, principal_of, while_identified
from sixpoint.errors import Unavailable
from sixpoint.v1 import job_service_pb2 as job_pb
from sixpoint.v1 import job_service_pb2_grpc as job_grpc

__all__ = ["JobServicer"]

_Context = grpc.aio.ServicerContext[Any, Any]


class JobServicer(job_grpc.JobServiceServicer):
    """``sixpoint.v1.JobService``.

    Args:
        calls: Carries out the calls.
        streams: Places of streams that stay open.
        stopping: Set once the gateway stops; whoever watches a job then asks another one.
    """

    def __init__(self, calls: JobCalls, *, streams: Places, stopping: asyncio.Event) -> None:
        self._calls = calls
        self._streams = streams
        self._stopping = stopping

    async def CreateJob(self, request: job_pb.CreateJobRequest, context: _Context) -> job_pb.CreateJobResponse:
        """Make a job."""
        return await self._calls.create_job(request, principal_of(context))

    async def GetJob(self, request: job_pb.GetJobRequest, context: _Context) -> job_pb.GetJobResponse:
        """Describe a job."""
        return await self._calls.get_job(request, principal_of(context))

    async def ListJobs(self, request: job_pb.ListJobsRequest, context: _Context) -> job_pb.ListJobsResponse:
        """List the jobs of the tenant."""
        return await self._calls.list_jobs(request, principal_of(context))

    async def CancelJob(self, request: job_pb.CancelJobRequest, context: _Context) -> job_pb.CancelJobResponse:
        """Cancel a job."""
        return await self._calls.cancel_job(request, principal_of(context))

    async def PauseJob(self, request: job_pb.PauseJobRequest, context: _Context) -> job_pb.PauseJobResponse:
        """Pause a job."""
        return await self._calls.pause_job(request, principal_of(context))

    async def ResumeJob(self, request: job_pb.ResumeJobRequest, context: _Context) -> job_pb.ResumeJobResponse:
        """Let a job go on."""
        return await self._calls.resume_job(request, principal_of(context))

    async def ListJobLines(self, request: job_pb.ListJobLinesRequest, context: _Context) -> job_pb.ListJobLinesResponse:
        """List the lines that a job has written."""
        return await self._calls.list_job_lines(request, principal_of(context))

    async def WatchJob(  # type: ignore[override]  # responses are written to the context, not yielded
        self, request: job_pb.WatchJobRequest, context: _Context
    ) -> None:
        """Return a job now and whenever it has changed."""
        async with (
            self._streams.take(),
            while_identified(caller_of(context)),
            aclosing(self._calls.watch_job(request, principal_of(context))) as responses,
        ):
            async for response in responses:
                if self._stopping.is_set():
                    raise Unavailable("the gateway stops; the job goes on, so watch it again")
                await context.write(response)
