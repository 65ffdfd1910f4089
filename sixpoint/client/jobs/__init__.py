"""Jobs on the gateway: blocking, and for asyncio."""

from sixpoint.client.jobs.asyncio import AsyncJobs
from sixpoint.client.jobs.blocking import Jobs

__all__ = ["AsyncJobs", "Jobs"]
