"""The queue of jobs, which DBOS keeps in the same database.

DBOS stores what it is given: ids of jobs and runs, names of tenants, and in which state a run left its job. Nothing of
a job's parameters, log or error goes there.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from dbos import DBOS, DBOSClient, EnqueueOptions, Serializer, WorkflowStatusString
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, ProgrammingError

from gateway.core.jobs import JobRow
from gateway.storage.database import Database
from gateway.storage.database.errors import translated
from sixpoint.errors import FailedPrecondition

__all__ = ["APPLICATION", "QUEUE", "SCHEMA", "VERSION", "WORKFLOW", "DbosQueue", "JsonSerializer"]

SCHEMA = "dbos"
"""Schema of its tables on PostgreSQL; SQLite has none."""
APPLICATION, QUEUE, WORKFLOW = "sixpoint", "jobs", "run_job"
VERSION = "1"
"""Version of the workflow: workers take runs of their own version only. It says nothing of the gateway's."""

_MAX_PRIORITY = 100
# Statements with more parameters are none on SQLite.
_BATCH = 500
_DROPPED_AT_ONCE = 500
_PENDING = WorkflowStatusString.PENDING.value
_WAITING = [WorkflowStatusString.ENQUEUED.value, WorkflowStatusString.DELAYED.value]
_ENDED = [
    WorkflowStatusString.SUCCESS.value,
    WorkflowStatusString.ERROR.value,
    WorkflowStatusString.CANCELLED.value,
    WorkflowStatusString.MAX_RECOVERY_ATTEMPTS_EXCEEDED.value,
]
_Result = TypeVar("_Result")


class JsonSerializer(Serializer):
    """Stores values as JSON, and of an error its kind only: its message may name a case."""

    def serialize(self, data: Any) -> str:
        """The text of a value."""
        return json.dumps(data, default=lambda value: type(value).__name__)

    def deserialize(self, serialized_data: str) -> Any:
        """The value of a text."""
        return json.loads(serialized_data)

    def name(self) -> str:
        """The name under which DBOS notes it."""
        return "json"


class DbosQueue:
    """A :class:`gateway.core.jobs.JobQueue` that DBOS keeps.

    Args:
        database: Database of the jobs.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._engine = database.queue_engine(1)
        self._client = DBOSClient(
            system_database_engine=self._engine,
            serializer=JsonSerializer(),
            application_name=APPLICATION,
            lazy=True,
            retry_connection_errors=False,
        )
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="job-queue")

    async def start(self) -> None:
        """Make the tables of DBOS, or migrate them; several processes may do so at once.

        Raises:
            StorageUnavailable: The database cannot be reached.
            FailedPrecondition: The role of the database may not make them.
        """
        await self._run(self._migrate)

    async def stop(self) -> None:
        """Close all connections."""
        await asyncio.to_thread(self._close)

    def engine(self, connections: int) -> Engine:
        """An engine for a worker's DBOS, with so many connections at most."""
        return self._database.queue_engine(connections)

    def set_limits(self, *, at_once: int, tenant_limit: int, poll: float) -> None:
        """Store what all workers heed from now on; it waits for the database.

        Args:
            at_once: Number of runs that a worker has at once.
            tenant_limit: Number of runs of one tenant that all workers have at once.
            poll: Seconds between two looks into the queue.
        """
        self._client.register_queue(
            QUEUE, worker_concurrency=at_once, partition_concurrency=tenant_limit, polling_interval_sec=poll
        )

    def enqueue(self, conn: Connection, row: JobRow, *, tenant: str, delay: float = 0.0) -> None:
        """Add the run of a job, in a transaction of ours."""
        # What has begun goes on before others of its priority begin. The smallest number comes first.
        priority = 2 * (_MAX_PRIORITY + 1 - row.priority) - (row.attempt > 0)
        options: EnqueueOptions = {
            "workflow_name": WORKFLOW,
            "queue_name": QUEUE,
            "workflow_id": row.run,
            "app_version": VERSION,
            "priority": priority,
            "queue_partition_key": tenant,
        }
        if delay > 0:
            options["delay_seconds"] = delay
        self._client.enqueue_in_transaction(conn, options, row.id, tenant)

    async def withdraw(self, runs: Sequence[str]) -> None:
        """Take runs out of the queue that need not begin."""
        waiting = await self._listed(runs, _WAITING)
        if waiting:
            await self._run(lambda: self._client.cancel_workflows(list(waiting)))

    async def claimed(self) -> Mapping[str, str]:
        """The runs that workers have got and not ended, each with the id of its worker."""
        found = await self._run(
            lambda: self._client.list_workflows(queue_name=QUEUE, status=_PENDING, load_input=False, load_output=False)
        )
        return {each.workflow_id: each.executor_id or "" for each in found}

    async def pending(self, runs: Collection[str]) -> set[str]:
        """Those of some runs that wait in the queue, or that workers have got."""
        return set(await self._listed(runs, [*_WAITING, _PENDING]))

    async def give_back(self, runs: Mapping[str, str]) -> None:
        """Put runs into the queue again whose workers do not have them any more."""
        claimed = await self.claimed()
        if lost := sorted(run for run, worker in runs.items() if claimed.get(run) == worker):
            await self._run(lambda: self._client.resume_workflows(lost, queue_name=QUEUE))

    async def drop_ended(self, *, before: float) -> int:
        """Remove runs that ended before a time; return their number."""
        moment = datetime.fromtimestamp(before, UTC).isoformat()
        found = await self._run(
            lambda: self._client.list_workflows(
                name=WORKFLOW,
                status=_ENDED,
                completed_before=moment,
                limit=_DROPPED_AT_ONCE,
                load_input=False,
                load_output=False,
            )
        )
        if ids := [each.workflow_id for each in found]:
            await self._run(lambda: self._client.delete_workflows(ids))
        return len(ids)

    async def _listed(self, runs: Collection[str], status: list[str]) -> list[str]:
        ids, found = list(runs), list[str]()
        for start in range(0, len(ids), _BATCH):
            found += await self._run(partial(self._list, ids[start : start + _BATCH], status))
        return found

    def _list(self, ids: list[str], status: list[str]) -> list[str]:
        rows = self._client.list_workflows(workflow_ids=ids, status=status, load_input=False, load_output=False)
        return [each.workflow_id for each in rows]

    async def _run(self, work: Callable[[], _Result]) -> _Result:
        def translating() -> _Result:
            try:
                return work()
            except DBAPIError as error:
                raise translated(error) from error

        return await asyncio.get_running_loop().run_in_executor(self._threads, translating)

    def _close(self) -> None:
        self._threads.shutdown()
        self._engine.dispose()

    def _migrate(self) -> None:
        quiet_logs()
        try:
            DBOS.migrate(self._database.queue_url, schema=SCHEMA)
        except ProgrammingError as error:
            # PostgreSQL's insufficient_privilege.
            if getattr(error.orig, "sqlstate", None) != "42501":
                raise
            raise FailedPrecondition(
                f"the role of the database may not make the schema {SCHEMA}, in which the queue of jobs lies; let its "
                "owner run GRANT CREATE ON DATABASE ... TO ..., and start the gateway again"
            ) from None


def quiet_logs() -> None:
    """Let the lines of DBOS go where ours go, and only warnings."""
    log = logging.getLogger("dbos")
    if not log.handlers:
        # Without a handler it adds one that writes to the console.
        log.addHandler(logging.NullHandler())
    log.setLevel(logging.WARNING)
