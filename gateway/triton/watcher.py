"""Following Triton: which models come and go, and whether it is there at all."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import numpy as np

from gateway.core.runtime.catalog import Catalog, Model
from gateway.triton.client import TritonClient
from sixpoint.errors import ModelSpecError, SixpointError, TritonUnavailable

__all__ = ["Watcher"]

_log = logging.getLogger(__name__)

# A first inference may have to wait for a network that is still warming up.
_TRIAL_SECONDS = 60.0
# Before a trial that failed is made again: for want of memory, say, it may fail of a model that is right.
_FIRST_PAUSE, _LONGEST_PAUSE = 5.0, 60.0
_NOT_FOR_SIXPOINT = (
    "model is not made for sixpoint, or on trial alone: its config has no spec, or no version that serves"
)


@dataclass(frozen=True)
class _FailedTrial:
    """A trial that failed: of which version of which model, and when (on the watcher's clock) it is made again."""

    model: Model
    version: str
    due: float
    pause: float


class Watcher:
    """Keeps a catalog in step with what Triton serves.

    A new version enters the catalog only after it has answered an input of its own shape: a Triton that loads a model
    and then answers empty tensors (as its Python backend does with numpy 2) is not ready. The config is read at every
    look: which version is on trial, and for whom, changes while the versions do not.

    Args:
        client: Asks Triton.
        catalog: What is kept up to date.
        interval: Seconds between looks.
        changed: Awaited whenever the catalog's readiness may have changed.
        now: The clock, seconds.
    """

    def __init__(
        self,
        *,
        client: TritonClient,
        catalog: Catalog,
        interval: float,
        changed: Callable[[], Awaitable[None]],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._catalog = catalog
        self._interval = interval
        self._changed = changed
        self._now = now
        self._models: dict[str, Model] = {}
        # What was made of each model at the last look, so that it is tried, or complained about, once.
        self._last_seen: dict[str, Model | str] = {}
        self._failed_trials: dict[str, _FailedTrial] = {}
        self._reachable: bool | None = None

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            try:
                await self.look()
            except Exception:
                # A look that fails in a way nobody thought of must not be the last one: health would freeze.
                _log.exception("looking at triton failed")
            await asyncio.sleep(self._interval)

    async def look(self) -> None:
        """Look once."""
        try:
            ready = await self._client.versions()
            self._models = {name: model for name, model in self._models.items() if name in ready}
            self._last_seen = {name: seen for name, seen in self._last_seen.items() if name in ready}
            self._failed_trials = {name: failed for name, failed in self._failed_trials.items() if name in ready}
            for name, versions in ready.items():
                await self._update_model(name, versions)
        except TritonUnavailable:
            self._note_reachable(False)
            # It may come back with other models under the same versions.
            self._models, self._last_seen, self._failed_trials = {}, {}, {}
            self._catalog.mark_unreachable()
        else:
            self._note_reachable(True)
            self._catalog.update(self._models)
        await self._changed()

    async def _update_model(self, name: str, versions: tuple[str, ...]) -> None:
        """Read a model's config, which may change while its versions do not, and try what is new."""
        about = {"model": name, "version": versions[-1]}
        seen: Model | str
        try:
            model = await self._client.describe(name, versions)
            seen = model or _NOT_FOR_SIXPOINT
            if seen == self._last_seen.get(name) or self._is_backing_off(name, seen):
                self._drop_unless_ready(name, versions)
                return
            if model is None:
                self._models.pop(name, None)
                _log.info(_NOT_FOR_SIXPOINT, extra={"model": name})
            elif not await self._try_model(model):
                self._last_seen.pop(name, None)
                self._drop_unless_ready(name, versions)
                return
        except TritonUnavailable:
            # Unloaded since the index was read, or Triton is going: the next look tells which.
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
        """Try a model, and its candidate, which must not take the serving version away; whether both answered."""
        serving = replace(model, candidate=None)
        # It is known already where only its candidate is to be tried again.
        if self._models.get(model.name) != serving and not await self._passes_trial(model, model.version, "model"):
            return False
        candidate = model.candidate
        met = model if candidate is None or await self._passes_trial(model, candidate.version, "candidate") else serving
        if met != self._models.get(model.name):
            self._models[model.name] = met
            _log.info("model ready", extra={"model": model.name, "version": model.version})
        return met == model

    async def _passes_trial(self, model: Model, version: str, what: str) -> bool:
        """Try a version; if it fails, say so once, and note when it is tried again.

        Raises:
            TritonUnavailable: When Triton does not answer, or just let go of it.
        """
        try:
            await self._run_trial(model, version)
        except TritonUnavailable:
            raise
        except SixpointError as error:
            last = self._failed_trials.get(model.name)
            again = last is not None and (last.model, last.version) == (model, version)
            pause = min(2 * last.pause, _LONGEST_PAUSE) if last is not None and again else _FIRST_PAUSE
            self._failed_trials[model.name] = _FailedTrial(model, version, self._now() + pause, pause)
            if not again:
                about = {"model": model.name, "version": version}
                _log.error("%s refused, and tried again from time to time: %s", what, error.message, extra=about)
            return False
        return True

    def _is_backing_off(self, name: str, seen: Model | str) -> bool:
        """Whether this is what failed the last trial, and the next one is not due."""
        failed = self._failed_trials.get(name)
        return failed is not None and failed.model == seen and self._now() < failed.due

    async def _run_trial(self, model: Model, version: str) -> None:
        empty = np.zeros(model.spec.input_shape, np.float16 if model.spec.input.dtype == "FP16" else np.float32)
        answer = await self._client.infer(model, empty, timeout=_TRIAL_SECONDS, version=version)
        if answer.version != version:
            # Versions and config are two calls, between which Triton let go of it.
            raise TritonUnavailable(f"version {version} just went")

    def _drop_unless_ready(self, name: str, versions: tuple[str, ...]) -> None:
        """Keep the version that served before, where Triton still does."""
        if name in self._models and self._models[name].version not in versions:
            del self._models[name]

    def _note_reachable(self, reachable: bool) -> None:
        if reachable != self._reachable:
            self._reachable = reachable
            _log.log(logging.INFO if reachable else logging.WARNING, "triton %s", "reached" if reachable else "away")
