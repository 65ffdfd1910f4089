"""Following Triton: which models come and go, and whether it is there at all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace

import numpy as np

from gateway.core.catalog import Catalog, Model
from gateway.triton.client import TritonClient
from sixpoint.errors import ModelSpecError, SixpointError, TritonUnavailable

__all__ = ["Watcher"]

_log = logging.getLogger(__name__)

# A first inference may have to wait for a network that is still warming up.
_SMOKE_SECONDS = 60.0
_NOT_OURS = "model is not made for sixpoint, or on trial alone: its config has no spec, or no version that serves"


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
    """

    def __init__(
        self, *, client: TritonClient, catalog: Catalog, interval: float, changed: Callable[[], Awaitable[None]]
    ) -> None:
        self._client = client
        self._catalog = catalog
        self._interval = interval
        self._changed = changed
        self._known: dict[str, Model] = {}
        # What was made of each model at the last look, so that it is tried, or complained about, once.
        self._seen: dict[str, Model | str] = {}
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
            self._known = {name: model for name, model in self._known.items() if name in ready}
            self._seen = {name: seen for name, seen in self._seen.items() if name in ready}
            for name, versions in ready.items():
                await self._meet(name, versions)
        except TritonUnavailable:
            self._note_reachable(False)
            # It may come back with other models under the same versions.
            self._known, self._seen = {}, {}
            self._catalog.lose()
        else:
            self._note_reachable(True)
            self._catalog.update(self._known)
        await self._changed()

    async def _meet(self, name: str, versions: tuple[str, ...]) -> None:
        """Read a model's config, which may change while its versions do not, and try what is new."""
        about = {"model": name, "version": versions[-1]}
        seen: Model | str
        try:
            model = await self._client.describe(name, versions)
            seen = model or _NOT_OURS
            if seen == self._seen.get(name):
                self._drop_unless_ready(name, versions)
                return
            if model is None:
                self._known.pop(name, None)
                _log.info(_NOT_OURS, extra={"model": name})
            else:
                await self._try(model, model.version)
                self._known[name] = await self._with_candidate(model)
                _log.info("model ready", extra={"model": name, "version": model.version})
        except TritonUnavailable:
            # Unloaded since the index was read, or Triton is going: the next look tells which.
            _log.info("model not ready yet", extra=about)
            self._drop_unless_ready(name, versions)
            return
        except ModelSpecError as error:
            seen = error.message
            self._known.pop(name, None)
            if seen != self._seen.get(name):
                _log.error("model refused: %s", error.message, extra=about)
        except SixpointError as error:
            self._drop_unless_ready(name, versions)
            _log.error("model refused: %s", error.message, extra=about)
        self._seen[name] = seen

    async def _with_candidate(self, model: Model) -> Model:
        """The model, without its candidate if that does not answer: it must not take the serving version away."""
        if model.candidate is None:
            return model
        try:
            await self._try(model, model.candidate.version)
        except SixpointError as error:
            if isinstance(error, TritonUnavailable):
                raise
            about = {"model": model.name, "version": model.candidate.version}
            _log.error("candidate refused: %s", error.message, extra=about)
            return replace(model, candidate=None)
        return model

    async def _try(self, model: Model, version: str) -> None:
        empty = np.zeros(model.spec.input_shape, np.float16 if model.spec.input.dtype == "FP16" else np.float32)
        answer = await self._client.infer(model, empty, timeout=_SMOKE_SECONDS, version=version)
        if answer.version != version:
            # Versions and config are two calls, between which Triton let go of it.
            raise TritonUnavailable(f"version {version} just went")

    def _drop_unless_ready(self, name: str, versions: tuple[str, ...]) -> None:
        """Keep the version that served before, where Triton still does."""
        if name in self._known and self._known[name].version not in versions:
            del self._known[name]

    def _note_reachable(self, reachable: bool) -> None:
        if reachable != self._reachable:
            self._reachable = reachable
            _log.log(logging.INFO if reachable else logging.WARNING, "triton %s", "reached" if reachable else "away")
