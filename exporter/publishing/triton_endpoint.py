"""Client of one Triton that serves a repository: load and unload models, wait, run inference."""

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
from sixpoint.client import TlsFiles
from sixpoint.errors import DeadlineExceeded, FailedPrecondition, SixpointError, TritonUnavailable
from sixpoint.io.secret_files import secret_from_environment
from sixpoint.io.triton_key import KEY_VARIABLE, RESTRICTED, control_metadata
from sixpoint.protocol import closed_at_once, describe_tls_failure
from sixpoint.protocol.triton_addresses import TLS_PREFIX, without_scheme

__all__ = ["TritonEndpoint"]

_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.enable_http_proxy", 0),
    # A Triton that is started again is reached within a second.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)
_DTYPES: dict[str, np.dtype[Any]] = {"UINT8": np.dtype("<u1"), "FP16": np.dtype("<f2"), "FP32": np.dtype("<f4")}
_POLL_SECONDS = 0.1
_STATUS_SECONDS = 10.0


class TritonEndpoint:
    """A blocking connection to one Triton; a context manager, to be used from any thread.

    Args:
        address: Address of its gRPC endpoint, host:port; ``https://`` before it means TLS, with the files that
            SIXPOINT_TRITON_CA_FILE, SIXPOINT_TRITON_CLIENT_CERT_FILE and SIXPOINT_TRITON_CLIENT_KEY_FILE name.
        server_name: Name that its certificate is for; empty for that of the address.
        timeout: Seconds that a model may take to load.

    Raises:
        InvalidArgument: A file for TLS cannot be used.
    """

    def __init__(self, address: str, *, server_name: str = "", timeout: float = 120.0) -> None:
        self.address, self._timeout = address, timeout
        self._target, tls = without_scheme(address)
        options = (*_OPTIONS, ("grpc.ssl_target_name_override", server_name)) if server_name else _OPTIONS
        if tls:
            credentials = TlsFiles.from_environment(TLS_PREFIX).credentials()
            self._channel = grpc.secure_channel(self._target, credentials, options=options)
        else:
            self._channel = grpc.insecure_channel(self._target, options=options)
        self._stub: Any = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._channel.close()

    def version_states(self, name: str) -> dict[int, tuple[str, str]]:
        """Return the state of each version of a model (READY, UNAVAILABLE, ...) and Triton's reason for it.

        Raises:
            TritonUnavailable: Triton cannot be reached.
        """
        index = self._call("RepositoryIndex", service_pb2.RepositoryIndexRequest(), timeout=_STATUS_SECONDS)
        return {
            int(model.version): (model.state, model.reason)
            for model in index.models
            if model.name == name and model.version
        }

    def load(self, config: ModelConfig) -> None:
        """Have Triton load a model by its present config, and wait until all of its versions are ready.

        A Triton that polls the repository (``--model-control-mode=poll``) takes no load requests: it is waited for.

        Args:
            config: The config that lies in the repository.

        Raises:
            FailedPrecondition: Triton cannot load the model; it goes on serving what it served before.
            DeadlineExceeded: Triton did not load it in time; in mode ``none`` it never does.
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
        self._until(lambda: self._serves(config, before), f"serve {config.name} by its config")

    def unload(self, name: str) -> None:
        """Have Triton unload a model. A Triton that polls the repository does so by itself.

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
        """Run a batch [batch, channel, z, y, x] through one version; returns its output [batch, label, z, y, x].

        Raises:
            FailedPrecondition: Triton refuses the request, or returns another type or shape than the config states.
            TritonUnavailable: Triton cannot be reached.
        """
        tensor, expected = config.inputs[0], config.outputs[0]
        request = service_pb2.ModelInferRequest(model_name=config.name, model_version=str(version))
        request.inputs.add(name=tensor.name, datatype=tensor.dtype, shape=batch.shape)
        request.outputs.add(name=expected.name)
        request.raw_input_contents.append(np.ascontiguousarray(batch).tobytes())
        response = self._call("ModelInfer", request, timeout=self._timeout)
        shape = (len(batch), *expected.dims)
        outputs = [(output.datatype, tuple(output.shape)) for output in response.outputs]
        size = int(np.prod(shape)) * _DTYPES[expected.dtype].itemsize
        if outputs != [(expected.dtype, shape)] or [len(raw) for raw in response.raw_output_contents] != [size]:
            raise FailedPrecondition(
                f"version {version} returns {outputs} in Triton, expected {(expected.dtype, shape)}"
            )
        return np.frombuffer(response.raw_output_contents[0], _DTYPES[expected.dtype]).reshape(shape)

    def _serves(self, config: ModelConfig, before: dict[int, tuple[str, str]]) -> bool:
        """Whether Triton serves exactly what the config states."""
        states = self.version_states(config.name)
        for version in config.served:
            state, reason = states.get(version, ("", ""))
            # A Triton that polls reports a failure in its states only.
            if state == "UNAVAILABLE" and reason not in {"", "unloaded"} and states[version] != before.get(version):
                raise FailedPrecondition(f"Triton cannot load {config.name}: {_first_line(reason)}")
        ready = {version for version, (state, _) in states.items() if state == "READY"}
        if config.served and ready != set(config.served):
            return False
        newest = str(max(ready, default=""))
        request = service_pb2.ModelConfigRequest(name=config.name, version=newest)
        actual = ModelConfig.of_message(self._call("ModelConfig", request, timeout=_STATUS_SECONDS).config)
        # Triton fills in preferred batch sizes that a config leaves open.
        execution = actual.execution if config.execution.preferred else replace(actual.execution, preferred=())
        # Not the version policy: if nothing else changed, Triton applies it but reports the old one.
        here = (actual.spec, actual.candidate, actual.tenants, execution)
        return here == (config.spec, config.candidate, config.tenants, config.execution)

    def _until(self, done: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + self._timeout
        while not done():
            if time.monotonic() > end:
                raise DeadlineExceeded(
                    f"Triton did not {what} within {self._timeout:g} s: check that it serves this "
                    "repository, with --model-control-mode explicit or poll (--timeout)"
                )
            time.sleep(_POLL_SECONDS)

    def _call(self, method: str, request: Any, *, timeout: float) -> Any:
        try:
            metadata = control_metadata(self._target, key=secret_from_environment(KEY_VARIABLE) or "")
            return getattr(self._stub, method)(request, timeout=timeout, metadata=metadata)
        except grpc.RpcError as error:
            raise _failure(error, self.address) from error


def _failure(error: Any, address: str) -> SixpointError:
    details = _first_line(error.details() or "")
    if RESTRICTED in details:
        return FailedPrecondition(
            f"Triton at {address} wants the key of its control API: run this as the user who started Triton, or set "
            f"{KEY_VARIABLE} or {KEY_VARIABLE}_FILE"
        )
    if reason := describe_tls_failure(error, prefix=TLS_PREFIX):
        return TritonUnavailable(f"Triton cannot be reached at {address}: {reason}", retry_after=2.0)
    # Triton also reports UNAVAILABLE for models.
    if error.code() is grpc.StatusCode.UNAVAILABLE and "model" not in details:
        # One that wants a certificate of its clients closes the connection.
        hint = f"; if it asks for a certificate, name yours with {TLS_PREFIX}CLIENT_CERT_FILE"
        shown = hint if address.startswith("https://") and closed_at_once(error) else ""
        return TritonUnavailable(f"Triton cannot be reached at {address}{shown}", retry_after=2.0)
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineExceeded(f"Triton at {address} did not answer in time")
    return FailedPrecondition(f"Triton: {details}")


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]
