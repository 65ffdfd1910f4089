"""A worker: the core of a gateway without its edges, which runs jobs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator

from gateway.core.jobs import SILENT_SECONDS, JobMaintenance, JobRunner, JobSweep, PatientInference, PromptWatch
from gateway.core.runtime import NO_OBSERVER, Catalog, CorePool, FairInference
from gateway.core.runtime.fairness import FairExecutor
from gateway.core.runtime.process.disk_errors import disk_errors
from gateway.core.runtime.process.malloc import FreedMemory
from gateway.core.runtime.process.private_files import restrict
from gateway.edges import Workers, make_services
from gateway.from_settings import prompt_admission, segmentation_admission, upload_places
from gateway.settings import Settings
from gateway.storage import taking_runs
from gateway.stores import Stores
from gateway.triton.pool import TritonPool
from sixpoint.errors import SixpointError
from sixpoint.preprocessing import _native

__all__ = ["Worker"]

_log = logging.getLogger(__name__)

_POLL_SECONDS = 0.2
# A job may not need Triton; one that does fails, and is tried again.
_READY_SECONDS = 30.0


class Worker:
    """One process that runs jobs.

    Args:
        settings: Settings of the gateway.
        worker_id: Id of the worker, which no other one has.
    """

    def __init__(self, settings: Settings, worker_id: str) -> None:
        self._settings = settings
        self._id = worker_id
        self._prompts: PromptWatch | None = None

    def note_prompt(self) -> None:
        """Note that somebody waits for the answer of a prompt: its jobs wait."""
        if self._prompts is not None:
            self._prompts.note_prompt()

    async def run(self, stop: asyncio.Event, *, idle: float | None = None) -> None:
        """Run jobs until an event is set, or without a job for some seconds.

        Args:
            stop: Event; what runs then is given back, and goes on in another worker.
            idle: Seconds without a job after which it ends; None for never.

        Raises:
            StorageUnavailable: The database or the folder of images cannot be used.
            FailedPrecondition: sixpoint was installed without its compiled kernels.
        """
        _native.require_kernels()
        settings, stores, catalog = self._settings, Stores(self._settings), Catalog()
        triton = TritonPool(
            settings.triton_url,
            catalog=catalog,
            interval=settings.triton_poll_seconds,
            changed=lambda: None,
            shared_memory=settings.triton_shared_memory == "auto",
            key=settings.triton_key.get_secret_value(),
            tls=settings.triton_tls,
        )
        prompts, self._prompts = prompt_admission(settings), PromptWatch(stores.job_upkeep)
        cores = CorePool(active=lambda: prompts.active)
        workers = Workers(FairExecutor(settings.workers), FairExecutor(settings.workers), cores)
        try:
            async with _started(settings, stores), triton:
                services = make_services(
                    settings,
                    stores,
                    catalog=catalog,
                    inference=FairInference(PatientInference(triton, self._prompts)),
                    observer=NO_OBSERVER,
                    workers=workers,
                    admissions=(prompts, segmentation_admission(settings)),
                    uploads=upload_places(settings),
                )
                runner = JobRunner(self._id, repository=stores.jobs, kinds=services.job_kinds)
                sweep = JobSweep(
                    self._id, maintenance=stores.job_upkeep, queue=stores.job_queue, runs=lambda: runner.runs
                )
                # Whoever takes a run must be known to be alive.
                await sweep.beat()
                beside = [triton.run, FreedMemory().run, sweep.run, *([stores.audit.run] if stores.audit else [])]
                background = [asyncio.create_task(run()) for run in beside]
                try:
                    await _until_ready(catalog, stop)
                    async with taking_runs(
                        stores.job_queue,
                        runner.carry_out,
                        worker=self._id,
                        at_once=settings.worker_jobs,
                        tenant_limit=settings.tenant_running_jobs,
                        stop=runner.stop,
                    ):
                        _log.info("worker ready", extra={"worker": self._id})
                        await _wait(runner, stores.job_upkeep, stop, idle=idle)
                finally:
                    for task in background:
                        task.cancel()
                    await asyncio.gather(*background, return_exceptions=True)
                    await sweep.leave()
        finally:
            workers.prompts.shutdown()
            workers.segmentations.shutdown()
            cores.close()
            _log.info("worker stopped", extra={"worker": self._id})


async def _wait(runner: JobRunner, maintenance: JobMaintenance, stop: asyncio.Event, *, idle: float | None) -> None:
    """Wait until an event is set, or there has been no job for some seconds, and none waits."""
    while not stop.is_set():
        await asyncio.sleep(_POLL_SECONDS)
        if idle is not None and runner.idle_seconds > idle and not await _waits(maintenance):
            return


async def _waits(maintenance: JobMaintenance) -> bool:
    """Whether a job waits, or nobody can tell."""
    now = time.time()
    try:
        counts = await maintenance.read(lambda upkeep: upkeep.counts(now=now, since=now - SILENT_SECONDS))
    except SixpointError:
        return True
    return counts.waiting > 0


async def _until_ready(catalog: Catalog, stop: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_READY_SECONDS):
            while not catalog.ready and not stop.is_set():
                await asyncio.sleep(_POLL_SECONDS)


@contextlib.asynccontextmanager
async def _started(settings: Settings, stores: Stores) -> AsyncIterator[None]:
    with disk_errors():
        restrict(settings.state_folder)
    async with contextlib.AsyncExitStack() as stack:
        for part in (stores.database, stores.job_queue, stores.images):
            stack.push_async_callback(part.stop)
            await part.start()
        yield
