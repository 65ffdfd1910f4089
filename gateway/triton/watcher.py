"""Following Triton: which models come and go, and whether it is there at all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import numpy as np

from gateway.core.catalog import Catalog, Model
from gateway.triton.client import TritonClient
from sixpoint.errors import SixpointError, TritonUnavailable

__all__ = ["Watcher"]

_log = logging.getLogger(__name__)

# A first inference may have to wait for a network that is still warming up.
_SMOKE_SECONDS = 60.0


class Watcher:
    """Keeps a catalog in step with what Triton serves.

    A new version enters the catalog only after it has answered an input of its own shape: a Triton that loads a model
    and then answers empty tensors (as its Python backend does with numpy 2) is not ready.

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
        # Versions that were refused, so that the same complaint is logged once.
        self._refused: dict[str, str] = {}
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
            versions = await self._client.versions()
            self._known = {name: m for name, m in self._known.items() if versions.get(name) == m.version}
            self._refused = {name: v for name, v in self._refused.items() if versions.get(name) == v}
            for name, version in versions.items():
                if name not in self._known and name not in self._refused:
                    await self._meet(name, version)
        except TritonUnavailable:
            self._note_reachable(False)
            # It may come back with other models under the same versions.
            self._known, self._refused = {}, {}
            self._catalog.lose()
        else:
            self._note_reachable(True)
            self._catalog.update(self._known)
        await self._changed()

    async def _meet(self, name: str, version: str) -> None:
        try:
            model = await self._client.describe(name, version)
            if model is None:
                self._refused[name] = version
                _log.info("model is not made for sixpoint: its config has no spec", extra={"model": name})
                return
            empty = np.zeros(model.spec.input_shape, np.float16 if model.spec.input.dtype == "FP16" else np.float32)
            await self._client.infer(model, empty, timeout=_SMOKE_SECONDS)
        except TritonUnavailable:
            # Unloaded since the index was read, or Triton is going: the next look tells which.
            _log.info("model not ready yet", extra={"model": name, "version": version})
        except SixpointError as error:
            self._refused[name] = version
            _log.error("model refused: %s", error.message, extra={"model": name, "version": version})
        else:
            self._known[name] = model
            _log.info("model ready", extra={"model": name, "version": version})

    def _note_reachable(self, reachable: bool) -> None:
        if reachable != self._reachable:
            self._reachable = reachable
            _log.log(logging.INFO if reachable else logging.WARNING, "triton %s", "reached" if reachable else "away")
