"""Jobs in SQL."""

from gateway.storage.jobs.job_changes import SqlJobWriter
from gateway.storage.jobs.job_queries import SqlJobReader
from gateway.storage.jobs.job_queue import DbosQueue
from gateway.storage.jobs.job_upkeep import SqlJobUpkeep
from gateway.storage.jobs.workflows import taking_runs

__all__ = ["DbosQueue", "SqlJobReader", "SqlJobUpkeep", "SqlJobWriter", "taking_runs"]
