"""The Triton that a repository is published to: loading, waiting, asking."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

import grpc
import numpy as np
from tritonclient.grpc import service_pb2, service_pb2_grpc

from exporter.repository.config import ModelConfig
from sixpoint._typing import Array
from sixpoint.errors import DeadlineExceeded, FailedPrecondition, InvalidArgument, SixpointError, TritonUnavailable

__all__ = ["Triton"]


_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.enable_http_proxy", 0),
)
_DTYPES: dict[str, np.dtype[Any]] = {"UINT8": np.dtype("<u1"), "FP16": np.dtype("<f2"), "FP32": np.dtype("<f4")}
_POLL_SECONDS = 0.1
_LOOK_SECONDS = 10.0


class Triton:
    """A connection to Triton, a context manager. All of it blocks.

    Args:
        address: host:port of its gRPC endpoint.
        timeout: Seconds that a model may take to load.
    """

    def __init__(self, address: str, *, timeout: float = 120.0) -> None:
        if not address.rpartition(":")[2].isdecimal():
            raise InvalidArgument(f"Triton's address must be host:port, got {address!r}")
        self.address, self._timeout = address, timeout
        self._channel = grpc.insecure_channel(address, options=_OPTIONS)
        self._stub: Any = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._channel.close()

    def version_states(self, name: str) -> dict[int, tuple[str, str]]:
        """What Triton says of each version of a model: its state (READY, UNAVAILABLE, ...), and why.

        Raises:
            TritonUnavailable: Triton cannot be reached.
        """
        index = self._call("RepositoryIndex", service_pb2.RepositoryIndexRequest(), timeout=_LOOK_SECONDS)
        return {int(one.version): (one.state, one.reason) for one in index.models if one.name == name and one.version}

    def load(self, config: ModelConfig) -> None:
        """Have Triton load a model as its config now says, and wait until all of its versions are ready.

        A Triton that takes no such orders (``--model-control-mode=poll``) is waited for.

        Args:
            config: What lies in the repository.

        Raises:
            FailedPrecondition: Triton cannot load it; what it served before, it goes on serving.
            DeadlineExceeded: It did not in time; a Triton in mode ``none`` never does.
            TritonUnavailable: Triton cannot be reached.
        """
        before = self.version_states(config.name)
        try:
            self._call(
                "RepositoryModelLoad",
                service_pb2.RepositoryModelLoadRequest(model_name=config.name),
                timeout=self._timeout,
            )
        except FailedPrecondition as error:
            if "polling" not in error.message:
                raise
        self._until(lambda: self._serves(config, before), f"serve {config.name} as its config says")

    def unload(self, name: str) -> None:
        """Have Triton forget a model; one that polls the repository sees for itself.

        Raises:
            TritonUnavailable: Triton cannot be reached.
        """
        request = service_pb2.RepositoryModelUnloadRequest(model_name=name)
        try:
            self._call("RepositoryModelUnload", request, timeout=self._timeout)
        except FailedPrecondition as error:
            if "polling" not in error.message:
                raise

    def infer(self, config: ModelConfig, version: int, batch: Array) -> Array:
        """Run inputs [batch, channel, z, y, x] through one version; returns its answer [batch, label, z, y, x].

        Raises:
            FailedPrecondition: Triton refuses, or answers something else than the config promises.
            TritonUnavailable: Triton cannot be reached.
        """
        given, wanted = config.inputs[0], config.outputs[0]
        request = service_pb2.ModelInferRequest(model_name=config.name, model_version=str(version))
        request.inputs.add(name=given.name, datatype=given.dtype, shape=batch.shape)
        request.outputs.add(name=wanted.name)
        request.raw_input_contents.append(np.ascontiguousarray(batch).tobytes())
        response = self._call("ModelInfer", request, timeout=self._timeout)
        shape = (len(batch), *wanted.dims)
        found = [(one.datatype, tuple(one.shape)) for one in response.outputs]
        size = int(np.prod(shape)) * _DTYPES[wanted.dtype].itemsize
        if found != [(wanted.dtype, shape)] or [len(raw) for raw in response.raw_output_contents] != [size]:
            raise FailedPrecondition(f"version {version} answers {found} in Triton, expected {(wanted.dtype, shape)}")
        return np.frombuffer(response.raw_output_contents[0], _DTYPES[wanted.dtype]).reshape(shape)

    def _serves(self, config: ModelConfig, before: dict[int, tuple[str, str]]) -> bool:
        """Whether what Triton serves is what the config says, all of it."""
        states = self.version_states(config.name)
        for version in config.served:
            state, reason = states.get(version, ("", ""))
            # Of a Triton that polls, this is all that is heard of a failure.
            if state == "UNAVAILABLE" and reason not in {"", "unloaded"} and states[version] != before.get(version):
                raise FailedPrecondition(f"Triton cannot load {config.name}: {_first_line(reason)}")
        ready = {version for version, (state, _) in states.items() if state == "READY"}
        if config.served and ready != set(config.served):
            return False
        newest = str(max(ready, default=""))
        request = service_pb2.ModelConfigRequest(name=config.name, version=newest)
        found = ModelConfig.of_message(self._call("ModelConfig", request, timeout=_LOOK_SECONDS).config)
        # Triton fills in what a config leaves open.
        tuning = found.execution if config.execution.preferred else replace(found.execution, preferred=())
        # Not the version policy: when nothing else changed, Triton obeys it and goes on showing the old one.
        return (found.spec, found.candidate, tuning) == (config.spec, config.candidate, config.execution)

    def _until(self, done: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + self._timeout
        while not done():
            if time.monotonic() > end:
                raise DeadlineExceeded(
                    f"Triton did not {what} within {self._timeout:g} s: is this repository its own, and its "
                    "--model-control-mode explicit or poll? (--timeout)"
                )
            time.sleep(_POLL_SECONDS)

    def _call(self, method: str, request: Any, *, timeout: float) -> Any:
        try:
            return getattr(self._stub, method)(request, timeout=timeout)
        except grpc.RpcError as error:
            raise _failure(error, self.address) from error


def _failure(error: Any, address: str) -> SixpointError:
    details = _first_line(error.details() or "")
    # Triton says UNAVAILABLE of models, too.
    if error.code() is grpc.StatusCode.UNAVAILABLE and "model" not in details:
        return TritonUnavailable(f"Triton cannot be reached at {address}", retry_after=2.0)
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineExceeded(f"Triton at {address} did not answer in time")
    return FailedPrecondition(f"Triton: {details}")


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]
