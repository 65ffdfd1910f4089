"""The Tritons that serve a repository, one or several: what changes their models acts on all, and waits for all."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self, TypeVar

from exporter.publishing.triton_endpoint import TritonEndpoint
from exporter.repository.config import ModelConfig
from sixpoint._typing import Array
from sixpoint.errors import SixpointError
from sixpoint.protocol.triton_addresses import TritonName, parse_triton_addresses, resolve_now

__all__ = ["Triton"]

_Result = TypeVar("_Result")

# Seconds for which a Triton that died while a change was undone may come back. It may have read the undone config when
# it started; one that starts later reads the right one.
_RETURN_SECONDS = 30.0
_POLL_SECONDS = 0.25


class Triton:
    """Blocking connections to all Tritons that serve a repository; a context manager.

    Args:
        addresses: host:port, dns:///name:port for all that a name stands for now, or several with commas in between;
            ``https://`` before each means TLS.
        timeout: Seconds that a model may take to load.

    Attributes:
        endpoints: The Tritons.

    Raises:
        InvalidArgument: A part of ``addresses`` is no address, or a file for TLS cannot be used.
        TritonUnavailable: A name cannot be resolved.
    """

    def __init__(self, addresses: str, *, timeout: float = 120.0) -> None:
        names: dict[str, str] = {}
        for place in parse_triton_addresses(addresses):
            if isinstance(place, TritonName):
                # Their certificates are for the name, not for its addresses.
                names |= dict.fromkeys(resolve_now(place), place.host if place.tls else "")
            else:
                names[place] = ""
        self.endpoints = tuple(
            TritonEndpoint(address, server_name=name, timeout=timeout) for address, name in names.items()
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for endpoint in self.endpoints:
            endpoint.__exit__(kind, error, trace)

    def version_states(self, name: str) -> dict[int, tuple[str, str]]:
        """Return the state of each version of a model (READY, UNAVAILABLE, ...) and Triton's reason for it.

        A version is READY if it is on all Tritons; otherwise the state on one on which it is not is returned.

        Raises:
            TritonUnavailable: A Triton cannot be reached.
        """
        each = self.on_all(lambda endpoint: endpoint.version_states(name))
        versions = sorted({version for states in each for version in states})
        return {
            version: min((states.get(version, ("", "")) for states in each), key=lambda state: state[0] == "READY")
            for version in versions
        }

    def load(self, config: ModelConfig) -> None:
        """Have all Tritons load a model by its present config, and wait until each serves it.

        Args:
            config: The config that lies in the repository.

        Raises:
            FailedPrecondition: One cannot load the model; it goes on serving what it served before.
            DeadlineExceeded: One did not load it in time; in mode ``none`` it never does.
            TritonUnavailable: One cannot be reached.
        """
        self.on_all(lambda endpoint: endpoint.load(config))

    def restore(self, name: str, config: str | None) -> None:
        """Have all Tritons that can be reached go back to a model's previous config, after a change failed.

        Args:
            name: Name of the model.
            config: Text of the previous config, which lies in the repository again; None: the model was new, and is
                unloaded.
        """

        def restore(endpoint: TritonEndpoint) -> None:
            end = time.monotonic() + (_RETURN_SECONDS if len(self.endpoints) > 1 else 0.0)
            while True:
                # The failure that led here is the one to report.
                with contextlib.suppress(SixpointError):
                    endpoint.unload(name) if config is None else endpoint.load(ModelConfig.from_text(config))
                    return
                if time.monotonic() > end:
                    return
                time.sleep(_POLL_SECONDS)

        self.on_all(restore)

    def infer(self, config: ModelConfig, version: int, batch: Array) -> Array:
        """Run a batch [batch, channel, z, y, x] through one version on the first Triton; see TritonEndpoint.infer."""
        return self.endpoints[0].infer(config, version, batch)

    def on_all(self, action: Callable[[TritonEndpoint], _Result]) -> list[_Result]:
        """Do something on all Tritons at once, and wait for all.

        Returns:
            The results, in the order of the Tritons.

        Raises:
            SixpointError: The first error of an action; its message names the Triton if there are several.
        """
        if len(self.endpoints) == 1:
            return [action(self.endpoints[0])]

        def named(endpoint: TritonEndpoint) -> _Result:
            try:
                return action(endpoint)
            except SixpointError as error:
                if endpoint.address in error.message:
                    raise
                message = f"{endpoint.address}: {error.message}"
                raise type(error)(message, retry_after=error.retry_after) from error

        with ThreadPoolExecutor(len(self.endpoints)) as pool:
            futures = [pool.submit(named, endpoint) for endpoint in self.endpoints]
        return [future.result() for future in futures]
