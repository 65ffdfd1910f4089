"""A worker of jobs in a process of its own, whose jobs only write down that they run: ``job_worker URL ID FOLDER``."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
import time
from pathlib import Path

from gateway.core.access import Principal
from gateway.core.jobs import JobContext, JobKinds, JobParameters, JobRunner, JobSweep
from gateway.storage import Database, DbosQueue, job_maintenance, job_repository, taking_runs

__all__ = ["AT_ONCE", "SILENT", "STEPS", "TENANT_LIMIT", "NotedJobs"]

AT_ONCE, TENANT_LIMIT, STEPS = 3, 2, 4
SILENT = 3.0
_STEP_SECONDS = 0.1


class NoParameters(JobParameters, frozen=True):
    """Of the kind below."""


class NotedJobs:
    """Jobs of a few steps, of which each writes a line ``job step tenant worker began ended``.

    A step that is noted is not done again.

    Args:
        notes: Folder of the notes.
        worker: Id of the worker.
    """

    name, parameters = "noted", NoParameters

    def __init__(self, notes: Path, worker: str) -> None:
        self._notes = notes
        self._worker = worker

    async def check(self, parameters: NoParameters, *, principal: Principal) -> None:
        """Accept all."""

    async def run(self, parameters: NoParameters, context: JobContext) -> None:
        """Do the steps."""
        notes = self._notes / context.job_id
        done = len(notes.read_text().splitlines()) if notes.exists() else 0
        for step in range(done, STEPS):
            began = time.time()
            await asyncio.sleep(_STEP_SECONDS)
            with notes.open("a") as file:
                file.write(f"{context.job_id} {step} {context.principal.tenant} {self._worker} {began} {time.time()}\n")
            context.progress(step + 1, STEPS)


async def _work(url: str, worker: str, notes: Path) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    database = Database(url)
    await database.start()
    queue = DbosQueue(database)
    await queue.start()
    repository, maintenance = job_repository(database, queue), job_maintenance(database, queue)
    runner = JobRunner(worker, repository=repository, kinds=JobKinds([NotedJobs(notes, worker)]), store=0.1)
    sweep = JobSweep(
        worker, maintenance=maintenance, queue=queue, runs=lambda: runner.runs, beat=0.3, interval=0.5, silent=SILENT
    )
    await sweep.beat()
    sweeping = asyncio.create_task(sweep.run())
    async with taking_runs(
        queue, runner.carry_out, worker=worker, at_once=AT_ONCE, tenant_limit=TENANT_LIMIT, stop=runner.stop, poll=0.1
    ):
        (notes / f"ready-{worker}").touch()
        await stop.wait()
    sweeping.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await sweeping
    await sweep.leave()
    await queue.stop()
    await database.stop()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    asyncio.run(_work(sys.argv[1], sys.argv[2], Path(sys.argv[3])))
