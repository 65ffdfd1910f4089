"""Let people's prompts go before the patches of jobs on the same Triton.

Nothing interrupts a patch that Triton computes. So while somebody is at work, jobs send one patch at a time: a prompt
meets one at most. They send none while somebody clicks, but for a share that they always have. Gateways note in the
database when prompts are answered while a job runs, and tell the workers beside them at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable

from gateway.core.jobs.repository import JobMaintenance
from gateway.core.runtime import Inference, InferenceResult, Model
from sixpoint._typing import Floating
from sixpoint.errors import SixpointError

__all__ = ["PatientInference", "PromptWatch"]

# Somebody who clicked looks at the mask for about so long before the next click.
_QUIET_SECONDS = 2.0
# Somebody who has not clicked for so long is not at work.
_WORK_SECONDS = 60.0
_POLL_SECONDS = 0.05
# However much is clicked, a job's patches get this share of the time, and one goes on after so long: no job starves.
_SHARE = 0.05
_MAX_WAIT_SECONDS = 20.0


class PromptWatch:
    """Knows whether somebody clicks.

    Args:
        maintenance: Transactions of workers.
        quiet: Seconds after a prompt for which others wait.
        work: Seconds after a prompt for which somebody is at work.
        max_wait: Seconds for which a patch waits at most.
        now: Clock, in seconds since 1970.
    """

    def __init__(
        self,
        maintenance: JobMaintenance,
        *,
        quiet: float = _QUIET_SECONDS,
        work: float = _WORK_SECONDS,
        max_wait: float = _MAX_WAIT_SECONDS,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._maintenance = maintenance
        self._quiet = quiet
        self._work = work
        self._max_wait = max_wait
        self._now = now
        self._last = 0.0
        self._asked = -1.0
        self._ended = time.monotonic()
        self._seconds = max_wait
        self._one, self._asking = asyncio.Lock(), asyncio.Lock()

    def note_prompt(self) -> None:
        """Note that somebody waits for the answer of a prompt now."""
        self._last = max(self._last, self._now())

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait until one patch may be computed; it is within the block."""
        if not await self._within(self._work):
            yield
            return
        async with self._one:
            # After a patch, a pause of 19 times its seconds leaves it the share.
            end = self._ended + min(self._max_wait, self._seconds * (1 / _SHARE - 1))
            while time.monotonic() < end and await self._within(self._quiet):
                await asyncio.sleep(_POLL_SECONDS)
            started = time.monotonic()
            try:
                yield
            finally:
                self._ended = time.monotonic()
                self._seconds = self._ended - started

    async def _within(self, seconds: float) -> bool:
        """Whether the last prompt is at most some seconds ago."""
        async with self._asking:
            if time.monotonic() - self._asked > _POLL_SECONDS:
                # Without the database, the job will notice by itself.
                with contextlib.suppress(SixpointError):
                    self._last = max(self._last, await self._maintenance.read(lambda upkeep: upkeep.last_prompt()))
                self._asked = time.monotonic()
        # Clocks of machines differ a little: a time far ahead is none.
        return -self._quiet < self._now() - self._last < seconds


class PatientInference:
    """An :class:`gateway.core.runtime.Inference` whose calls wait while somebody clicks.

    Args:
        inference: The backend.
        prompts: Knows whether somebody clicks.
    """

    def __init__(self, inference: Inference, prompts: PromptWatch) -> None:
        self._inference = inference
        self._prompts = prompts

    async def infer(self, model: Model, tensor: Floating, *, timeout: float, version: str = "") -> InferenceResult:
        """Run one input through a version of a model; see :meth:`Inference.infer`."""
        async with self._prompts.turn():
            return await self._inference.infer(model, tensor, timeout=timeout, version=version)
