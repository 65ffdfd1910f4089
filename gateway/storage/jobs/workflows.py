"""A worker's DBOS, which takes runs of jobs from the queue.

A run is one workflow of one step. DBOS runs workflows on threads of its own; the step waits there for the coroutine
that carries out the job on the worker's event loop. So DBOS has nothing to do with that loop, nor with its threads.

There is one DBOS in a process.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

from dbos import DBOS

from gateway.storage.jobs.job_queue import APPLICATION, QUEUE, VERSION, WORKFLOW, DbosQueue, JsonSerializer, quiet_logs

__all__ = ["CarryOut", "taking_runs"]

CarryOut: TypeAlias = Callable[[str, str, str], Coroutine[Any, Any, str]]
"""Carries out a run of a job: its id, the job's and the tenant; returns the state in which it leaves the job."""

_POLL_SECONDS = 0.5
# For its two queues, delayed runs, notifications and a lock that it holds.
_FURTHER_THREADS, _FURTHER_CONNECTIONS = 2, 4
_STOP_SECONDS = 5


@asynccontextmanager
async def taking_runs(
    queue: DbosQueue,
    carry_out: CarryOut,
    *,
    worker: str,
    at_once: int,
    tenant_limit: int,
    stop: Callable[[], Coroutine[Any, Any, None]],
    poll: float = _POLL_SECONDS,
) -> AsyncIterator[None]:
    """Take runs from the queue, and carry them out, within the block.

    Args:
        queue: The queue; the workers' limits are its own, so that all workers have those of the last one that started.
        carry_out: Carries out a run.
        worker: Id of the worker.
        at_once: Number of runs that a worker has at once.
        tenant_limit: Number of runs of one tenant that all workers have at once.
        stop: Ends what runs at the end of the block; what is handed over from then on must end at once.
        poll: Seconds between two looks into the queue.
    """
    loop = asyncio.get_running_loop()

    def run_job(job_id: str, tenant: str) -> str:
        return step(str(DBOS.workflow_id), job_id, tenant)

    def carry_out_job(run: str, job_id: str, tenant: str) -> str:
        return asyncio.run_coroutine_threadsafe(carry_out(run, job_id, tenant), loop).result()

    step = DBOS.step(name="carry_out_job")(carry_out_job)
    # Who dies of a job is counted by the job itself.
    DBOS.workflow(name=WORKFLOW, max_recovery_attempts=None)(run_job)
    engine = queue.engine(at_once + _FURTHER_CONNECTIONS)

    def launch() -> None:
        quiet_logs()
        # Before the launch, or else DBOS looks into the queue a second later.
        queue.set_limits(at_once=at_once, tenant_limit=tenant_limit, poll=poll)
        DBOS(
            config={
                "name": APPLICATION,
                "system_database_engine": engine,
                "serializer": JsonSerializer(),
                "executor_id": worker,
                "application_version": VERSION,
                "max_executor_threads": at_once + _FURTHER_THREADS,
                "run_migrations": False,
                "use_listen_notify": False,
                "log_level": "WARNING",
            }
        )
        DBOS.listen_queues([QUEUE])
        DBOS.launch()

    def destroy() -> None:
        DBOS.destroy(destroy_registry=True, workflow_completion_timeout_sec=_STOP_SECONDS)
        engine.dispose()

    try:
        await asyncio.to_thread(launch)
        yield
    finally:
        await stop()
        await asyncio.shield(asyncio.to_thread(destroy))
