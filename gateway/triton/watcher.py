"""Watch Triton: keep the catalog in step with the models that it serves."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from gateway.core.runtime import Catalog, Model
from gateway.triton.client import TritonClient
from gateway.triton.client_errors import was_not_answered
from sixpoint.errors import ModelSpecError, SixpointError, TritonUnavailable

__all__ = ["Watcher"]

_log = logging.getLogger(__name__)

# The first inference may have to wait for a network that is still warming up.
_TRIAL_SECONDS = 60.0
# Seconds before a failed trial is repeated: a good model can fail one, for example while memory is short.
_FIRST_PAUSE, _MAX_PAUSE = 5.0, 60.0
# Shortest pause between two checks, seconds.
_MIN_PAUSE = 0.1
_NOT_FOR_SIXPOINT = "model ignored: its config has no ModelSpec, or no version but the candidate"


@dataclass(frozen=True)
class _FailedTrial:
    """A failed trial of a version.

    Attributes:
        model: Model that failed.
        version: Version that failed.
        due: Time on the watcher's clock of the next trial, seconds.
        pause: Seconds between this trial and the next one.
    """

    model: Model
    version: str
    due: float
    pause: float


class Watcher:
    """Keeps a catalog in step with the models that Triton serves.

    A new version enters the catalog only after it has run an input of zeros: a model that loads and then outputs empty
    tensors, as in Triton's Python backend with NumPy 2, is not ready. The config is read at every check, since the
    candidate and its share can change while the versions stay.

    Args:
        client: Connection to Triton.
        catalog: Catalog to update.
        interval: Seconds between checks.
        changed: Function called after every check, since the catalog's readiness may have changed.
        now: Function that returns the time in seconds.
        address: Address of Triton for the log; empty if there is only one.

    Attributes:
        silent: Whether the last check got no answer from Triton, not even an error.
    """

    def __init__(
        self,
        *,
        client: TritonClient,
        catalog: Catalog,
        interval: float,
        changed: Callable[[], None],
        now: Callable[[], float] = time.monotonic,
        address: str = "",
    ) -> None:
        self.silent = False
        self._client = client
        self._catalog = catalog
        self._interval = interval
        self._changed = changed
        self._now = now
        self._models: dict[str, Model] = {}
        # Result of the last check of each model, so that each change is tried, or logged, only once.
        self._last_seen: dict[str, Model | str] = {}
        self._failed_trials: dict[str, _FailedTrial] = {}
        self._reachable: bool | None = None
        self._about = {"triton": address} if address else {}
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Check soon, not only after the interval, since a call failed."""
        self._woken.set()

    async def run(self) -> None:
        """Check repeatedly until cancelled."""
        while True:
            try:
                await self.look()
            except Exception:
                # An unexpected failure must not end the checks: health would never change again.
                _log.exception("looking at triton failed")
            # Calls that fail one after the other must not cause a check each.
            pause = min(_MIN_PAUSE, self._interval)
            await asyncio.sleep(pause)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._interval - pause):
                    await self._woken.wait()
            self._woken.clear()

    async def look(self) -> None:
        """Check once."""
        self.silent = False
        try:
            ready = await self._client.versions()
            self._models = {name: model for name, model in self._models.items() if name in ready}
            self._last_seen = {name: seen for name, seen in self._last_seen.items() if name in ready}
            self._failed_trials = {name: failed for name, failed in self._failed_trials.items() if name in ready}
            for name, versions in ready.items():
                await self._update_model(name, versions)
        except TritonUnavailable as error:
            self.silent = was_not_answered(error)
            self._note_reachable(False, reason=error.message)
            # Triton may come back with other models under the same versions.
            self._models, self._last_seen, self._failed_trials = {}, {}, {}
            self._catalog.mark_unreachable()
        else:
            self._note_reachable(True)
            self._catalog.update(self._models)
        self._changed()

    async def _update_model(self, name: str, versions: tuple[str, ...]) -> None:
        """Read a model's config, and try what is new in it."""
        about = {"model": name, "version": versions[-1], **self._about}
        seen: Model | str
        try:
            model = await self._client.describe(name, versions)
            seen = model or _NOT_FOR_SIXPOINT
            if seen == self._last_seen.get(name) or self._is_backing_off(name, seen):
                self._drop_unless_ready(name, versions)
                return
            if model is None:
                self._models.pop(name, None)
                _log.info(_NOT_FOR_SIXPOINT, extra={"model": name, **self._about})
            elif not await self._try_model(model):
                self._last_seen.pop(name, None)
                self._drop_unless_ready(name, versions)
                return
        except TritonUnavailable:
            # The model was unloaded since the index was read, or Triton is stopping: the next check shows which.
            _log.info("model not ready yet", extra=about)
            self._drop_unless_ready(name, versions)
            return
        except ModelSpecError as error:
            seen = error.message
            self._models.pop(name, None)
            if seen != self._last_seen.get(name):
                _log.error("model refused: %s", error.message, extra=about)
        self._last_seen[name] = seen
        self._failed_trials.pop(name, None)

    async def _try_model(self, model: Model) -> bool:
        """Try a model and its candidate; return whether both work. A failing candidate leaves the serving version."""
        serving = replace(model, candidate=None)
        # The serving version is already in use if only the candidate changed.
        if self._models.get(model.name) != serving and not await self._passes_trial(model, model.version, "model"):
            return False
        candidate = model.candidate
        usable = (
            model if candidate is None or await self._passes_trial(model, candidate.version, "candidate") else serving
        )
        if usable != self._models.get(model.name):
            self._models[model.name] = usable
            _log.info("model ready", extra={"model": model.name, "version": model.version, **self._about})
        return usable == model

    async def _passes_trial(self, model: Model, version: str, what: str) -> bool:
        """Try a version; if it fails, log that once, and note when to try again.

        Raises:
            TritonUnavailable: When Triton cannot be reached, or no longer serves the version.
        """
        try:
            await self._run_trial(model, version)
        except TritonUnavailable:
            raise
        except SixpointError as error:
            last = self._failed_trials.get(model.name)
            again = last is not None and (last.model, last.version) == (model, version)
            pause = min(2 * last.pause, _MAX_PAUSE) if last is not None and again else _FIRST_PAUSE
            self._failed_trials[model.name] = _FailedTrial(model, version, self._now() + pause, pause)
            if not again:
                about = {"model": model.name, "version": version, **self._about}
                _log.error("%s refused, will be tried again: %s", what, error.message, extra=about)
            return False
        return True

    def _is_backing_off(self, name: str, seen: Model | str) -> bool:
        """Whether the last trial of exactly this failed, and the next trial is not due yet."""
        failed = self._failed_trials.get(name)
        return failed is not None and failed.model == seen and self._now() < failed.due

    async def _run_trial(self, model: Model, version: str) -> None:
        empty = np.zeros(model.spec.input_shape, np.float16 if model.spec.input.dtype == "FP16" else np.float32)
        answer = await self._client.infer(model, empty, timeout=_TRIAL_SECONDS, version=version)
        if answer.version != version:
            # Triton unloaded the version between the calls for index and config.
            raise TritonUnavailable(f"Triton no longer serves version {version}")

    def _drop_unless_ready(self, name: str, versions: tuple[str, ...]) -> None:
        """Remove a model from use unless Triton still serves its version."""
        if name in self._models and self._models[name].version not in versions:
            del self._models[name]

    def _note_reachable(self, reachable: bool, *, reason: str = "") -> None:
        if reachable == self._reachable:
            return
        self._reachable = reachable
        if reachable:
            _log.info("triton reached", extra=self._about)
        else:
            _log.warning("triton away", extra={"reason": reason, **self._about})
