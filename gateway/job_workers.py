"""What a gateway does for jobs: it runs workers while there are jobs, and tells them when people click."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import time
from collections.abc import Sequence

from gateway.core.jobs import SILENT_SECONDS, JobCounts, JobMaintenance
from gateway.core.runtime import Admission
from gateway.core.runtime.ids import new_id
from gateway.settings import Settings
from sixpoint.errors import SixpointError

__all__ = ["JobWorkers"]

_log = logging.getLogger(__name__)

_POLL_SECONDS = 1.0
_WAITING_POLL_SECONDS = 0.05
# While a job runs, so that a prompt meets no patch that was sent after it.
_PROMPT_POLL_SECONDS = 0.01
_TELL_SECONDS, _MARK_SECONDS = 0.1, 0.5
# Without jobs for so long, a worker ends: it takes memory.
_IDLE_SECONDS = 60.0
_FIRST_PAUSE, _MAX_PAUSE = 0.5, 10.0
_STEADY_SECONDS = 60.0


class JobWorkers:
    """The workers of a gateway.

    Args:
        settings: Settings of the gateway; workers get the address and the key of Triton from here, and all else from
            the environment.
        maintenance: Transactions of workers.
        prompts: Counts the prompts that run.
        at_most: Number of workers.
        command: Command that runs one.
    """

    def __init__(
        self,
        settings: Settings,
        maintenance: JobMaintenance,
        *,
        prompts: Admission,
        at_most: int,
        command: Sequence[str] = (sys.executable, "-m", "gateway", "worker"),
    ) -> None:
        self._settings = settings
        self._maintenance = maintenance
        self._prompts = prompts
        self._at_most = at_most
        self._command = command
        self._jobs = JobCounts(0, 0)
        self._pipes: set[asyncio.StreamWriter] = set()

    @property
    def jobs(self) -> JobCounts:
        """Jobs that wait and that run, of all gateways, about a second ago."""
        return self._jobs

    async def run(self) -> None:
        """Look after jobs until cancelled; then the workers end."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._count())
            group.create_task(self._tell_prompts())
            for _ in range(self._at_most):
                group.create_task(self._keep_worker())

    async def _count(self) -> None:
        while True:
            now = time.time()
            # Whoever can do nothing without the database says so.
            with contextlib.suppress(SixpointError):
                self._jobs = await self._maintenance.read(
                    lambda upkeep, now=now: upkeep.counts(now=now, since=now - SILENT_SECONDS)  # type: ignore[misc]
                )
            await asyncio.sleep(_POLL_SECONDS)

    async def _tell_prompts(self) -> None:
        told = marked = 0.0
        while True:
            running, now = self._jobs.running > 0, time.monotonic()
            if running and self._prompts.active and now - told > _TELL_SECONDS:
                told = now
                for pipe in self._pipes:
                    # A worker that does not read is told by the database.
                    if not pipe.transport.get_write_buffer_size():
                        pipe.write(b"prompt\n")
                if now - marked > _MARK_SECONDS:
                    marked = now
                    await self._mark_prompt()
            await asyncio.sleep(_PROMPT_POLL_SECONDS if running else _POLL_SECONDS)

    async def _mark_prompt(self) -> None:
        now = time.time()
        with contextlib.suppress(SixpointError):
            await self._maintenance.write(lambda upkeep: upkeep.mark_prompt(now=now))

    async def _keep_worker(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            if not self._jobs.waiting:
                await asyncio.sleep(_WAITING_POLL_SECONDS)
                continue
            started = time.monotonic()
            code = await self._run_worker()
            if code == 0:
                continue
            pause = _FIRST_PAUSE if time.monotonic() - started > _STEADY_SECONDS else pause
            _log.warning("a worker ended with code %s; another one starts in %.1f s", code, pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _MAX_PAUSE)

    async def _run_worker(self) -> int:
        """Run a worker until it ends; at a cancellation it is ended, and its jobs go on elsewhere."""
        worker = new_id()
        process = await asyncio.create_subprocess_exec(
            *(*self._command, f"--id={worker}", "--beside-gateway", f"--idle={_IDLE_SECONDS}"),
            # It ends when this is closed, however this process ends.
            stdin=asyncio.subprocess.PIPE,
            env=self._environment(),
        )
        assert process.stdin is not None
        self._pipes.add(process.stdin)
        try:
            return await process.wait()
        finally:
            self._pipes.discard(process.stdin)
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.terminate()
                await _ended(process, self._settings.drain_seconds)
            with contextlib.suppress(SixpointError):
                # What it ran goes back at once, and not only after its silence.
                await self._maintenance.write(lambda upkeep: upkeep.release(worker))

    def _environment(self) -> dict[str, str]:
        settings = self._settings
        environment = {name: value for name, value in os.environ.items() if name != "SIXPOINT_TRITON_KEY_FILE"}
        return environment | {
            "SIXPOINT_TRITON_URL": settings.triton_url,
            "SIXPOINT_TRITON_KEY": settings.triton_key.get_secret_value(),
        }


async def _ended(process: asyncio.subprocess.Process, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
