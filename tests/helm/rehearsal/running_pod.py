"""A pod's life: first containers, probes, restarts, and an end with preStop, SIGTERM and a grace period."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.helm.rehearsal import probes
from tests.helm.support.charts import Pod
from tests.helm.support.local_pods import LocalPods
from tests.support.paths import ROOT

__all__ = ["Ended", "RunningPod"]

# As the kubelet: the first restart at once, the next ones after 10 s, 20 s, ... 300 s.
_BACKOFF_SECONDS, _LONGEST_SECONDS = 10, 300
# A container ends with the rehearsal, also when that is killed. No preexec_fn: gRPC's threads forbid plain forks.
_BOUND = (
    "import ctypes, os, signal, sys; PR_SET_PDEATHSIG = 1; "
    "ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0); os.execvp(sys.argv[1], sys.argv[1:])"
)


@dataclass(frozen=True)
class Ended:
    """How a pod ended that was told to.

    Attributes:
        name: Name of the pod.
        code: Exit code of its container; negative for a signal, None if it never ran.
        seconds: Time from the deletion to the end.
        grace: Its terminationGracePeriodSeconds.
    """

    name: str
    code: int | None
    seconds: float
    grace: float


class RunningPod:
    """One pod, as processes of this machine.

    Args:
        template: What it runs.
        name: Its name.
        local: How it runs here.
        log: File for what it writes.
        changed: Called when it becomes ready, or is no longer.

    Attributes:
        ready: Whether its containers are ready. A terminating pod is not.
        terminating: Whether it was told to end.
        restarts: How often its container was started again.
    """

    def __init__(
        self, template: Pod, *, name: str, local: LocalPods, log: Path, changed: Callable[[RunningPod], None]
    ) -> None:
        (self._container,) = template.spec["containers"]
        self._grace: float = template.spec.get("terminationGracePeriodSeconds", 30)
        self.template = template
        self.name = name
        self.address = local.address
        self.ready = self.terminating = False
        self.restarts = 0
        self.log = log
        self._local = local
        self._changed = changed
        self._process: asyncio.subprocess.Process | None = None
        self._life: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start it, without waiting for it."""
        self._life = asyncio.create_task(self._live())

    def check(self) -> None:
        """Raise what went wrong with running it, which is not how its containers end."""
        if self._life is not None and self._life.done() and not self._life.cancelled():
            self._life.result()

    def kill(self) -> None:
        """End its container as kill -9 does."""
        if self._process is not None:
            self._end_group(self._process)

    @contextlib.contextmanager
    def hanging(self) -> Iterator[None]:
        """Let its container do nothing until the context ends."""
        process = self._process
        assert process is not None
        os.killpg(process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGCONT)

    async def run_to_end(self) -> int:
        """Run a pod that ends by itself, and return its exit code."""
        return await self._run_to_end(self._container)

    async def terminate(self) -> Ended:
        """Delete it: it leaves its Services, preStop runs, then SIGTERM, and SIGKILL after the grace period."""
        began = time.monotonic()
        self.terminating = True
        self._set_ready(False)
        process = self._process
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._grace):
                await self._pre_stop()
                if process is not None and process.returncode is None:
                    process.terminate()
                    await process.wait()
        await self.end()
        return Ended(self.name, process.returncode if process else None, time.monotonic() - began, self._grace)

    async def end(self) -> None:
        """End it now."""
        self.terminating = True
        self.kill()
        if self._life is not None:
            self._life.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await self._life
        if self._process is not None:
            await self._process.wait()
        self._local.clean()

    async def _live(self) -> None:
        for container in self.template.spec.get("initContainers", []):
            for attempt in range(sys.maxsize):
                if await self._run_to_end(container) == 0:
                    break
                await asyncio.sleep(_backoff(attempt))
        while not self.terminating:
            self._process = await self._start(self._container)
            watching = asyncio.create_task(self._watch(self._process))
            await self._process.wait()
            watching.cancel()
            # The container's other processes end with its first one.
            self._end_group(self._process)
            self._local.clean()
            self._set_ready(False)
            if not self.terminating:
                await asyncio.sleep(_backoff(self.restarts))
                self.restarts += 1

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        """Probe a container: first that it has started, then that it is ready, and that it lives."""
        started = self._container.get("startupProbe")
        has_started = started is None or await probes.until_succeeded(started, self.address)
        if has_started:
            watching = None
            if readiness := self._container.get("readinessProbe"):
                watching = asyncio.create_task(probes.watch(readiness, self.address, self._set_ready))
            else:
                self._set_ready(True)
            try:
                if liveness := self._container.get("livenessProbe"):
                    await probes.until_failed(liveness, self.address)
                else:
                    await process.wait()
            finally:
                if watching is not None:
                    watching.cancel()
        if not self.terminating:
            # A liveness or startup probe may have a grace period of its own.
            failed = self._container.get("livenessProbe" if has_started else "startupProbe", {})
            grace = failed.get("terminationGracePeriodSeconds", self._grace)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace):
                    await self._pre_stop()
                    process.terminate()
                    await process.wait()
            self._end_group(process)

    def _set_ready(self, ready: bool) -> None:
        ready = ready and not self.terminating
        if ready != self.ready:
            self.ready = ready
            self._changed(self)

    async def _pre_stop(self) -> None:
        hook: dict[str, Any] = self._container.get("lifecycle", {}).get("preStop", {})
        if unknown := hook.keys() - {"exec", "sleep"}:
            raise NotImplementedError(f"expected exec or sleep in preStop, and found {sorted(unknown)}")
        if "sleep" in hook:
            await asyncio.sleep(hook["sleep"]["seconds"])
        elif hook:
            await self._run_to_end({**self._container, "command": hook["exec"]["command"], "args": []})

    async def _run_to_end(self, container: dict[str, Any]) -> int:
        process = await self._start(container)
        try:
            return await process.wait()
        finally:
            self._end_group(process)

    async def _start(self, container: dict[str, Any]) -> asyncio.subprocess.Process:
        command, variables = self._local.process(self.template, container)
        with self.log.open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", _BOUND, *command),
                env=variables,
                cwd=ROOT,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _end_group(self, process: asyncio.subprocess.Process) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _backoff(restarts: int) -> float:
    return 0 if restarts == 0 else min(_LONGEST_SECONDS, _BACKOFF_SECONDS * 2 ** (restarts - 1))
