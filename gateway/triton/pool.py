"""Several Tritons as one: what they serve together, and for each call the one that will answer first."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from gateway.core.runtime import Catalog, Deadline, InferenceResult, Model
from gateway.triton.client import TritonClient
from gateway.triton.client_errors import lacks_version, was_not_sent
from gateway.triton.pool_catalog import ServedModels, merge
from gateway.triton.pool_endpoint import Endpoint, cost
from sixpoint._typing import Floating
from sixpoint.client import TlsFiles
from sixpoint.errors import SixpointError, TritonUnavailable
from sixpoint.protocol.triton_addresses import TLS_PREFIX, TritonName, parse_triton_addresses, resolve, without_scheme

__all__ = ["TritonPool"]

_log = logging.getLogger(__name__)

_RESOLVE_SECONDS = 5.0
_RETRY_SECONDS = 2.0
# Calls to Tritons that one prompt may cost. Inference is pure, so that a second one does no harm; but an input that
# makes Triton die must not reach all of them.
_ATTEMPTS = 2
# Seconds for which calls wait if no Triton is left: in a rolling restart, the next may stop before it is noticed that
# the last is back.
_PATIENCE_SECONDS = 10.0
# Every so many calls go to the Triton that was not used for longest: one that was slow may be fast again.
_EXPLORE = 64
# Seconds that calls of a Triton which left its name may take to end.
_FAREWELL_SECONDS = 60.0


class TritonPool:
    """All Tritons of the gateway, as an async context manager; implements the core's :class:`Inference`.

    A version is asked only where it has answered its trial; there, the Triton with the fewest unanswered calls gets the
    call. One that fails gets no new calls for a while, and the call is sent to another one once. With one address,
    nothing of this happens: calls go to that Triton.

    Args:
        addresses: host:port, dns:///name:port for all addresses of a name, or several with commas in between.
        catalog: Catalog to keep in step with what the Tritons serve together.
        interval: Seconds between two checks of what a Triton serves.
        changed: Function called after every check, since the catalog's readiness may have changed.
        shared_memory: Whether to pass tensors in shared memory to a Triton on this machine that offers it.
        key: Key of the Tritons' control API; empty for none, or for those of sixpoint's Tritons on this machine.
        tls: Files for TLS, to Tritons whose addresses begin with ``https://``.
        resolve: Function that returns the addresses of a name.
        now: Function that returns the time in seconds.

    Raises:
        InvalidArgument: When ``addresses`` has a part that is no address, or a file for TLS cannot be used.
    """

    def __init__(
        self,
        addresses: str,
        *,
        catalog: Catalog,
        interval: float,
        changed: Callable[[], None],
        shared_memory: bool = True,
        key: str = "",
        tls: TlsFiles | None = None,
        resolve: Callable[[TritonName], Awaitable[tuple[str, ...]]] = resolve,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._places = parse_triton_addresses(addresses)
        self._names = [place for place in self._places if isinstance(place, TritonName)]
        self._single = len(self._places) == 1 and not self._names
        self._catalog = catalog
        self._interval = interval
        self._changed = changed
        self._shared_memory = shared_memory
        self._key = key
        self._tls = tls or TlsFiles(prefix=TLS_PREFIX)
        if any(without_scheme(str(place))[1] for place in self._places):
            # Before there is an endpoint: names are resolved later.
            self._tls.credentials()
        self._resolve = resolve
        self._now = now
        self._endpoints: dict[str, Endpoint] = {}
        self._checks: dict[str, asyncio.Task[None]] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._resolved: dict[TritonName, tuple[str, ...]] = {}
        self._served: ServedModels[Endpoint] = ServedModels()
        self._merged = asyncio.Event()
        self._different: set[tuple[str, str]] = set()
        self._calls = 0
        self._reached = -math.inf

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The Tritons that it has now."""
        return tuple(self._endpoints.values())

    async def __aenter__(self) -> Self:
        self._update_endpoints()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in (*self._checks.values(), *self._leaving):
            task.cancel()
        await asyncio.gather(*self._checks.values(), *self._leaving, return_exceptions=True)
        for endpoint in self._endpoints.values():
            await endpoint.close()
        self._endpoints.clear()

    async def run(self) -> None:
        """Check the Tritons, and resolve their names again, until cancelled."""
        self._start_checks()
        while self._names:
            await self._resolve_names()
            self._start_checks()
            await asyncio.sleep(_RESOLVE_SECONDS)
        await asyncio.gather(*self._checks.values())

    async def infer(self, model: Model, tensor: Floating, *, timeout: float, version: str = "") -> InferenceResult:
        """Run one input through a version of a model, on the Triton that will answer first.

        Args:
            model: Model to run.
            tensor: Input of the network, [channel, z, y, x].
            timeout: Seconds that the call may take, with a second attempt.
            version: Version to run; empty for the model's own. If no Triton serves it any more, the newest version
                runs instead; the result says which version ran.

        Raises:
            DeadlineExceeded: When the call took longer than ``timeout``.
            TritonUnavailable: When no Triton that serves the model can be reached, or two failed.
            InferenceError: When Triton refuses the request, or the output contradicts the model's spec.
        """
        if self._single:
            (endpoint,) = self._endpoints.values()
            with endpoint.counted():
                return await endpoint.client.infer(model, tensor, timeout=timeout, version=version)
        deadline = Deadline.after(timeout)
        version = version or model.version
        failed: set[Endpoint] = set()
        attempts = 0
        while True:
            endpoint = self._choose(model.name, version, failed) or await self._wait(model.name, version, deadline)
            having = self._served.versions.get((model.name, version), [])
            elsewhere = attempts + 1 < _ATTEMPTS and bool({*having} - {*failed, endpoint})
            try:
                return await endpoint.infer(
                    model,
                    tensor,
                    timeout=deadline.remaining(),
                    version=version if endpoint in having else endpoint.catalog.models[model.name].version,
                    exactly=elsewhere,
                )
            except TritonUnavailable as error:
                attempts += not was_not_sent(error)
                self._note_failure(endpoint, error)
                if attempts == _ATTEMPTS:
                    raise
                failed.add(endpoint)

    def _choose(self, name: str, version: str, failed: set[Endpoint]) -> Endpoint | None:
        """Return the Triton that will answer first, of those that serve a version and did not fail this call."""
        serving = [endpoint for endpoint in self._served.serving(name, version) if endpoint not in failed]
        # All may have failed other calls just now: then one of them is asked all the same.
        serving = [endpoint for endpoint in serving if not endpoint.ejected] or serving
        if not serving:
            return None
        self._calls += 1
        if self._calls % _EXPLORE == 0:
            chosen = min(serving, key=lambda endpoint: endpoint.used)
        else:
            fastest = min((seconds for one in serving if (seconds := one.seconds(name)) is not None), default=1.0)
            chosen = min(serving, key=lambda endpoint: cost(endpoint, name, fastest=fastest))
        chosen.used = self._calls
        return chosen

    async def _wait(self, name: str, version: str, deadline: Deadline) -> Endpoint:
        """Wait until a Triton that serves a model is back, and return it.

        Raises:
            DeadlineExceeded: When the deadline passes first.
            TritonUnavailable: When none is back in time.
        """
        for endpoint in self._endpoints.values():
            endpoint.recheck()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(min(_PATIENCE_SECONDS, deadline.remaining())):
                while True:
                    await self._merged.wait()
                    # One that failed this call may be another process by now, which has answered a trial.
                    if endpoints := [each for each in self._served.serving(name, version) if not each.ejected]:
                        return min(endpoints, key=lambda endpoint: endpoint.outstanding)
        deadline.remaining()
        raise TritonUnavailable("Triton cannot be reached just now; try again", retry_after=_RETRY_SECONDS)

    def _note_failure(self, endpoint: Endpoint, error: SixpointError) -> None:
        if lacks_version(error):
            endpoint.recheck()
        else:
            endpoint.eject()

    async def _resolve_names(self) -> None:
        for name in self._names:
            try:
                addresses = await self._resolve(name)
            except TritonUnavailable as error:
                # The Tritons that are known stay: DNS fails more often than all of them.
                _log.warning("%s", error.message)
            else:
                self._resolved[name] = addresses or self._resolved.get(name, ())
        self._update_endpoints()

    def _update_endpoints(self) -> None:
        """Add the Tritons that are new, and let go those that left their name."""
        wanted: dict[str, str] = {}
        for place in self._places:
            if isinstance(place, TritonName):
                # Their certificates are for the name, not for its addresses.
                wanted |= dict.fromkeys(self._resolved.get(place, ()), place.host if place.tls else "")
            else:
                wanted[place] = ""
        for address in wanted.keys() - self._endpoints.keys():
            self._endpoints[address] = self._endpoint(address, server_name=wanted[address])
            if self._names:
                _log.info("triton added", extra={"triton": address})
        for address in self._endpoints.keys() - wanted.keys():
            _log.info("triton left", extra={"triton": address})
            endpoint = self._endpoints.pop(address)
            self._checks.pop(address).cancel()
            self._merge()
            task = asyncio.create_task(endpoint.close(patience=_FAREWELL_SECONDS))
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)

    def _start_checks(self) -> None:
        for address in self._endpoints.keys() - self._checks.keys():
            self._checks[address] = asyncio.create_task(self._endpoints[address].run())

    def _endpoint(self, address: str, *, server_name: str) -> Endpoint:
        client = TritonClient(
            address, shared_memory=self._shared_memory, key=self._key, tls=self._tls, server_name=server_name
        )
        return Endpoint(
            address,
            client=client,
            interval=self._interval,
            changed=self._merge,
            now=self._now,
            alone=self._single,
        )

    def _merge(self) -> None:
        """Bring the catalog in step with what the Tritons serve together."""
        endpoints = self._endpoints.values()
        reachable = [endpoint for endpoint in endpoints if endpoint.catalog.reachable]
        self._served = merge({endpoint: endpoint.catalog.models for endpoint in reachable})
        self._note_different()
        if reachable:
            self._reached = self._now()
            known = {name: model for endpoint in endpoints for name, model in endpoint.catalog.models.items()}
            away = {name: model for name, model in known.items() if name not in self._served.models}
            self._catalog.update(self._served.models, away=away)
        elif self._single or self._now() - self._reached > _PATIENCE_SECONDS:
            self._catalog.mark_unreachable()
        # Else calls wait for the Triton that is back first.
        self._changed()
        self._merged.set()
        self._merged = asyncio.Event()

    def _note_different(self) -> None:
        different = {(name, endpoint.address) for name, endpoint in self._served.different}
        for name, address in different - self._different:
            _log.error(
                "model differs from that of the same name on another Triton, and is not used there",
                extra={"model": name, "triton": address},
            )
        self._different = different
