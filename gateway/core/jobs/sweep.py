"""Say that a worker is alive, and give back the runs of those that are not.

The queue does not know who is alive, so every worker says so in the database. Workers take turns in sweeping:

- runs of workers that are silent go back into the queue;
- a job whose run is not in the queue, nor with a worker, is queued again: one that an older version of the gateway
  made, or whose worker could not store how it ended;
- runs that ended long ago are removed.

Nothing of this need be exact: a run that is given back twice is void when it begins again (see
:meth:`gateway.core.jobs.runner.JobRunner.carry_out`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Collection

from gateway.core.jobs.records import SILENT_SECONDS
from gateway.core.jobs.repository import JobMaintenance, JobQueue
from gateway.core.runtime.ids import new_id
from sixpoint.errors import SixpointError

__all__ = ["JobSweep"]

_log = logging.getLogger(__name__)

_BEAT_SECONDS, _SWEEP_SECONDS = 5.0, 5.0
# Ended runs say nothing that the jobs do not.
_KEEP_SECONDS = 3600.0


class JobSweep:
    """The sweeps of a worker.

    Args:
        worker: Id of this worker.
        maintenance: Transactions of workers.
        queue: The queue.
        runs: Returns the ids of the runs that this worker has.
        beat: Seconds between two signs of life.
        interval: Seconds between two sweeps, of whichever worker.
        silent: Seconds of silence after which a worker is dead.
        now: Clock, in seconds since 1970.
    """

    def __init__(
        self,
        worker: str,
        *,
        maintenance: JobMaintenance,
        queue: JobQueue,
        runs: Callable[[], Collection[str]],
        beat: float = _BEAT_SECONDS,
        interval: float = _SWEEP_SECONDS,
        silent: float = SILENT_SECONDS,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._worker = worker
        self._maintenance = maintenance
        self._queue = queue
        self._runs = runs
        self._beat_seconds = beat
        self._interval = interval
        self._silent = silent
        self._now = now
        self._missing: frozenset[str] = frozenset()

    async def beat(self) -> None:
        """Say that this worker is alive.

        Raises:
            StorageUnavailable: The database cannot be reached.
        """
        now = self._now()
        await self._maintenance.write(lambda upkeep: upkeep.beat(self._worker, now=now))

    async def leave(self) -> None:
        """Say that this worker is no more: whatever it may still have goes back at once."""
        with contextlib.suppress(SixpointError):
            await self._maintenance.write(lambda upkeep: upkeep.release(self._worker))

    async def run(self) -> None:
        """Say that this worker is alive, and sweep, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._again("beat", self.beat, self._beat_seconds))
            group.create_task(self._again("sweep", self.sweep, self._interval))

    async def _again(self, name: str, work: Callable[[], Awaitable[None]], seconds: float) -> None:
        while True:
            try:
                await work()
            except SixpointError as error:
                _log.warning("workers: %s failed", name, extra={"reason": error.reason})
            except Exception as error:
                # Without it, jobs of dead workers would wait for ever.
                _log.error("workers: %s failed", name, exc_info=error)
            await asyncio.sleep(seconds)

    async def sweep(self) -> None:
        """Give back what dead workers have, unless another worker has done so just now.

        Raises:
            StorageUnavailable: The database cannot be reached.
        """
        now = self._now()
        claimed = await self._queue.claimed()
        mine = frozenset(run for run, worker in claimed.items() if worker == self._worker) - frozenset(self._runs())
        # What has just been handed over, or has just ended, is missing only once.
        lost, self._missing = set(mine & self._missing), mine
        if await self._maintenance.write(lambda upkeep: upkeep.begin_sweep(now=now, interval=self._interval / 2)):
            # Whoever has a run by now has said before that it is alive.
            alive = await self._maintenance.read(lambda upkeep: upkeep.workers(since=now - self._silent))
            lost |= {run for run, worker in claimed.items() if worker not in alive}
            await self._queue_lost_jobs()
            await self._queue.drop_ended(before=now - _KEEP_SECONDS)
        if lost:
            _log.warning("runs of dead workers go back into the queue", extra={"runs": len(lost)})
            await self._queue.give_back({run: claimed[run] for run in lost})

    async def _queue_lost_jobs(self) -> None:
        jobs = await self._maintenance.read(lambda upkeep: upkeep.unfinished())
        pending = await self._queue.pending([run for _, run in jobs if run])
        for job_id, run in jobs:
            if run in pending:
                continue
            new_run = new_id()
            if await self._maintenance.write(
                lambda upkeep, job_id=job_id, run=run, new_run=new_run: upkeep.queue_again(  # type: ignore[misc]
                    job_id, run, new_run=new_run
                )
            ):
                _log.warning("a job without a place in the queue gets one", extra={"job": job_id})
