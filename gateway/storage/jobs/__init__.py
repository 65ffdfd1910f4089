"""Jobs in SQL."""

from gateway.storage.jobs.job_changes import SqlJobWriter
from gateway.storage.jobs.job_queries import SqlJobReader
from gateway.storage.jobs.job_upkeep import SqlJobUpkeep

__all__ = ["SqlJobReader", "SqlJobUpkeep", "SqlJobWriter"]
