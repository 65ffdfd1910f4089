"""One Triton of a pool: what it serves, how much it has to do, how fast it is, and whether it fails."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator

from gateway.core.runtime import Catalog, InferenceResult, Model
from gateway.triton.client import TritonClient
from gateway.triton.watcher import Watcher
from sixpoint._typing import Floating
from sixpoint.errors import DeadlineExceeded, TritonUnavailable

__all__ = ["Endpoint", "cost"]

_log = logging.getLogger(__name__)

_RETRY_SECONDS = 2.0
# Seconds without new calls after a failure; doubled with each further one.
_FIRST_EJECTION, _MAX_EJECTION = 1.0, 30.0
# Weight of a slower answer in the estimate; a faster one counts at once, so that a Triton that was slow comes back.
_WEIGHT = 0.3
# Below this factor to the fastest Triton, differences are noise; so are all of shorter times.
_SLOW, _NOISE_SECONDS = 2.0, 0.02


class Endpoint:
    """One Triton of a pool, with its connection and the checks of what it serves.

    Args:
        address: Its gRPC endpoint, host:port.
        client: Connection to it.
        interval: Seconds between checks of what it serves.
        changed: Function called after each check.
        now: Function that returns the time in seconds.
        alone: Whether the pool has no other one, so that the log need not name it.

    Attributes:
        address: Its gRPC endpoint, host:port.
        client: Connection to it.
        catalog: What it served at the last check.
        outstanding: Number of calls that it has not answered.
        used: Number of the pool's last call that went to it.
    """

    def __init__(
        self,
        address: str,
        *,
        client: TritonClient,
        interval: float,
        changed: Callable[[], None],
        now: Callable[[], float],
        alone: bool = False,
    ) -> None:
        self.address = address
        self.client = client
        self.catalog = Catalog()
        self.outstanding = 0
        self.used = 0
        self._changed = changed
        self._now = now
        self._watcher = Watcher(
            client=client,
            catalog=self.catalog,
            interval=interval,
            changed=self._checked,
            now=now,
            address="" if alone else address,
        )
        self._was_reachable = False
        self._ejected_until = 0.0
        self._failures = 0
        # Seconds that a call of each model takes if no other one is before it.
        self._seconds: dict[str, float] = {}
        self._calls: set[asyncio.Timeout] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def ejected(self) -> bool:
        """Whether it failed just now, so that others are preferred."""
        return self._now() < self._ejected_until

    def seconds(self, model: str) -> float | None:
        """Return how long a call of a model takes if no other one is before it; None: unknown."""
        return self._seconds.get(model)

    async def run(self) -> None:
        """Check what it serves, until cancelled."""
        await self._watcher.run()

    def recheck(self) -> None:
        """Check soon what it serves."""
        self._watcher.wake()

    async def infer(
        self, model: Model, tensor: Floating, *, timeout: float, version: str, exactly: bool
    ) -> InferenceResult:
        """Run one input through a version of a model; see :meth:`TritonClient.infer`."""
        started, until_silent = self._now(), asyncio.timeout(None)
        with self.counted() as place:
            try:
                async with until_silent:
                    self._calls.add(until_silent)
                    result = await self.client.infer(model, tensor, timeout=timeout, version=version, exactly=exactly)
            except TimeoutError:
                raise TritonUnavailable("Triton does not answer; try again", retry_after=_RETRY_SECONDS) from None
            except (DeadlineExceeded, asyncio.CancelledError):
                # It took at least so long.
                self._note_seconds(model.name, max(self._seconds.get(model.name, 0.0), (self._now() - started) / place))
                raise
            finally:
                self._calls.discard(until_silent)
        self._note_seconds(model.name, (self._now() - started) / place)
        self._failures = 0
        return result

    @contextlib.contextmanager
    def counted(self) -> Iterator[int]:
        """Count a call as outstanding; yields its place among those that are."""
        self.outstanding += 1
        self._idle.clear()
        try:
            yield self.outstanding
        finally:
            self.outstanding -= 1
            if not self.outstanding:
                self._idle.set()

    def eject(self) -> None:
        """Prefer others for a while, longer after each failure, and check soon whether it can be reached."""
        if not self.ejected:
            pause = min(_FIRST_EJECTION * 2**self._failures, _MAX_EJECTION)
            self._failures += 1
            self._ejected_until = self._now() + pause
            _log.warning("triton fails, others are preferred", extra={"triton": self.address, "seconds": pause})
        self.recheck()

    async def close(self, *, patience: float = 0.0) -> None:
        """Close the connection.

        Args:
            patience: Seconds to wait for calls that it has not answered.
        """
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await self._idle.wait()
        finally:
            # Also if the gateway stops meanwhile: Triton would keep the connection's shared memory.
            await self.client.__aexit__(None, None, None)

    def _checked(self) -> None:
        if self.catalog.reachable and not self._was_reachable:
            # It has answered a trial of all that it serves, and may be another one than before.
            self._ejected_until = 0.0
            self._seconds.clear()
        if self._watcher.silent and self._was_reachable:
            # Their connection may stay open for ever.
            for call in self._calls:
                call.reschedule(asyncio.get_running_loop().time())
            self._calls.clear()
        self._was_reachable = self.catalog.reachable
        self._changed()

    def _note_seconds(self, model: str, seconds: float) -> None:
        estimate = self._seconds.get(model, seconds)
        self._seconds[model] = min(seconds, estimate + _WEIGHT * (seconds - estimate))


def cost(endpoint: Endpoint, model: str, *, fastest: float) -> tuple[float, int]:
    """Return the measure by which a call's Triton is chosen; the lowest is chosen.

    It is the number of calls before the new one's end, and counts more for a Triton that is clearly slower than the
    fastest one. Of equal ones, the one that was not used for longest is chosen.

    Args:
        endpoint: The Triton.
        model: Name of the model.
        fastest: Seconds that the fastest Triton takes for one call of the model.
    """
    seconds, fastest = endpoint.seconds(model), max(fastest, _NOISE_SECONDS)
    slower = 1.0 if seconds is None or seconds <= _SLOW * fastest else seconds / fastest
    return ((endpoint.outstanding + 1) * slower, endpoint.used)
