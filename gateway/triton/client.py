"""Call Triton over gRPC: list its models, read their descriptions, and run them."""

from __future__ import annotations

import asyncio
import math
import time
from functools import partial
from types import TracebackType
from typing import Any, Self

import grpc
import grpc.aio
import numpy as np
from tritonclient.grpc import model_config_pb2, service_pb2

from gateway.core.runtime import InferenceResult, Model
from gateway.observability.tracing import trace_metadata
from gateway.triton.channel import TritonChannel
from gateway.triton.client_errors import RETRY_SECONDS, details_of, error_from, lacks_version, tls_problem, unreachable
from gateway.triton.shared_memory import Region, RegionPool
from sixpoint._typing import Array, Floating
from sixpoint.client import TlsFiles
from sixpoint.errors import InferenceError, ModelSpecError, SixpointError, TritonUnavailable
from sixpoint.io.triton_key import KEY_VARIABLE, RESTRICTED, control_metadata
from sixpoint.model_spec import (
    CANDIDATE_PARAMETER,
    SPEC_PARAMETER,
    TENANTS_PARAMETER,
    Candidate,
    ModelSpec,
    tenants_from_json,
)
from sixpoint.protocol.triton_addresses import TLS_PREFIX, without_scheme

__all__ = ["TritonClient"]

_DTYPES: dict[str, np.dtype[Any]] = {"UINT8": np.dtype("<u1"), "FP16": np.dtype("<f2"), "FP32": np.dtype("<f4")}
_NO_FILES = TlsFiles(prefix=TLS_PREFIX)
# Triton counts as unreachable if listing or describing models takes longer.
_QUERY_SECONDS = 5.0


class TritonClient:
    """One connection to Triton, as an async context manager. Cancelling a task cancels its call in Triton.

    Args:
        url: Triton's gRPC endpoint, host:port; ``https://`` before it means TLS.
        shared_memory: Whether to pass tensors in shared memory if Triton runs on this machine and offers it.
        key: Key of Triton's control API; empty for none, or for that of a Triton of sixpoint's on this machine.
        tls: Files for TLS.
        server_name: Name that Triton's certificate is for; empty for that of the endpoint.

    Raises:
        InvalidArgument: A file for TLS cannot be used.
    """

    def __init__(
        self,
        url: str,
        *,
        shared_memory: bool = True,
        key: str = "",
        tls: TlsFiles = _NO_FILES,
        server_name: str = "",
    ) -> None:
        # Looked up for each call of the control API, since a Triton that is started anew has another key.
        self._metadata = partial(control_metadata, without_scheme(url)[0], key=key)
        self._stub = TritonChannel(url, tls=tls, server_name=server_name)
        self._regions = RegionPool(self._stub, enabled=shared_memory, metadata=self._metadata)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._regions.close()
        await self._stub.close()

    async def versions(self) -> dict[str, tuple[str, ...]]:
        """List the ready versions of each model by name, oldest first.

        Raises:
            TritonUnavailable: When Triton cannot be reached.
        """
        self._stub.refresh()
        try:
            index = await self._stub.RepositoryIndex(
                service_pb2.RepositoryIndexRequest(ready=True), timeout=_QUERY_SECONDS, metadata=self._metadata()
            )
        except grpc.aio.AioRpcError as error:
            self._regions.invalidate()
            if RESTRICTED in (error.details() or ""):
                raise TritonUnavailable(
                    f"Triton wants the key of its control API: run the gateway as the user who started Triton, or set "
                    f"{KEY_VARIABLE} (or {KEY_VARIABLE}_FILE) to the key that Triton was started with",
                    retry_after=RETRY_SECONDS,
                ) from error
            raise unreachable(tls_problem(error)) from error
        ready: dict[str, list[str]] = {}
        for model in index.models:
            if model.state == "READY" and model.version:
                ready.setdefault(model.name, []).append(model.version)
        # Versions are numbers: as text, 10 would come before 9.
        return {name: tuple(sorted(versions, key=int)) for name, versions in ready.items()}

    async def failures(self) -> dict[str, str]:
        """Return Triton's reason for each model of its repository that it cannot load, by name.

        Raises:
            TritonUnavailable: When Triton cannot be reached.
        """
        try:
            index = await self._stub.RepositoryIndex(
                service_pb2.RepositoryIndexRequest(), timeout=_QUERY_SECONDS, metadata=self._metadata()
            )
        except grpc.aio.AioRpcError as error:
            raise unreachable() from error
        # A model that was unloaded, or never loaded, has no fault.
        faults = {model.name: model.reason for model in index.models if model.state == "UNAVAILABLE"}
        return {name: reason for name, reason in faults.items() if reason not in {"", "unloaded"}}

    async def describe(self, name: str, versions: tuple[str, ...]) -> Model | None:
        """Read a model's description; None for a model without a ModelSpec, or with no ready version but the candidate.

        Args:
            name: Name of the model.
            versions: Ready versions of the model, oldest first.

        Raises:
            TritonUnavailable: When Triton cannot be reached, or no longer serves the model.
            ModelSpecError: When the ModelSpec is not valid, or contradicts the model's tensors.
        """
        try:
            response = await self._stub.ModelConfig(
                service_pb2.ModelConfigRequest(name=name, version=versions[-1]), timeout=_QUERY_SECONDS
            )
        except grpc.aio.AioRpcError as error:
            raise unreachable() from error
        config = response.config
        if SPEC_PARAMETER not in config.parameters:
            return None
        spec = ModelSpec.from_json(config.parameters[SPEC_PARAMETER].string_value)
        _check_tensor(name, "input", config.input, (spec.input.name, spec.input.dtype, spec.input_shape))
        _check_tensor(name, "output", config.output, (spec.output.name, spec.output.dtype, spec.output_shape))
        candidate = None
        if CANDIDATE_PARAMETER in config.parameters:
            candidate = Candidate.from_json(config.parameters[CANDIDATE_PARAMETER].string_value)
            versions = tuple(version for version in versions if version != candidate.version)
        tenants = None
        if TENANTS_PARAMETER in config.parameters:
            tenants = tenants_from_json(config.parameters[TENANTS_PARAMETER].string_value)
        return Model(name, versions[-1], spec, candidate, _in_flight(config), tenants) if versions else None

    async def infer(
        self, model: Model, tensor: Floating, *, timeout: float, version: str = "", exactly: bool = False
    ) -> InferenceResult:
        """Run one input through a version of a model.

        Args:
            model: Model to run.
            tensor: Input of the network, [channel, z, y, x].
            timeout: Seconds that the call may take.
            version: Version to run; empty for the model's own. If Triton no longer serves it, the newest version runs
                instead; the result says which version ran.
            exactly: Whether to raise TritonUnavailable instead if Triton no longer serves the version.

        Raises:
            DeadlineExceeded: When Triton took longer than ``timeout``.
            TritonUnavailable: When Triton cannot be reached or the model is not ready.
            InferenceError: When Triton refuses the request, or the output contradicts the model's spec.
        """
        deadline = time.monotonic() + timeout
        version = version or model.version
        try:
            return await self._infer_version(model, version, tensor, timeout=timeout)
        except TritonUnavailable as error:
            if exactly or not lacks_version(error):
                raise
            return await self._infer_version(model, "", tensor, timeout=deadline - time.monotonic())

    async def _infer_version(self, model: Model, version: str, tensor: Floating, *, timeout: float) -> InferenceResult:
        """Run one input through a version, or the newest one if empty, in shared memory if Triton offers it."""
        deadline = time.monotonic() + timeout
        region = await self._regions.acquire(_output_offset(tensor) + _output_bytes(model.spec))
        if region is not None:
            try:
                return await self._infer(model, version, tensor, region, timeout=timeout)
            except SixpointError as error:
                # Triton may have restarted without the region: send bytes, which works or fails with a clear error.
                if "shared memory" not in details_of(error):
                    raise
                self._regions.invalidate()
        return await self._infer(model, version, tensor, None, timeout=deadline - time.monotonic())

    async def _infer(
        self,
        model: Model,
        version: str,
        tensor: Floating,
        region: Region | None,
        *,
        timeout: float,
    ) -> InferenceResult:
        """Run one input, in shared memory or, without a region, as bytes."""
        spec = model.spec
        shape, dtype = (1, *spec.output_shape), _DTYPES[spec.output.dtype]
        expected, offset = _output_bytes(spec), _output_offset(tensor)
        request = service_pb2.ModelInferRequest(model_name=model.name, model_version=version)
        request_input = request.inputs.add(name=spec.input.name, datatype=spec.input.dtype, shape=[1, *tensor.shape])
        request_output = request.outputs.add(name=spec.output.name)
        if region is None:
            request.raw_input_contents.append(tensor.tobytes())
        else:
            region.write(tensor)
            _set_shared_memory(request_input, region, offset=0, size=tensor.nbytes)
            _set_shared_memory(request_output, region, offset=offset, size=expected)
        try:
            response = await self._stub.ModelInfer(request, timeout=timeout, metadata=trace_metadata())
        except grpc.aio.AioRpcError as error:
            if region is not None:
                self._regions.quarantine(region)
            raise error_from(error) from error
        except asyncio.CancelledError:
            if region is not None:
                self._regions.quarantine(region)
            raise
        output = response.outputs[0] if response.outputs else None
        raw = response.raw_output_contents[0] if response.raw_output_contents else b""
        # For an output in shared memory, the response has only its shape and type.
        length = len(raw) if region is None else expected
        if region is not None:
            tensor_out = region.read(dtype, spec.output_shape, offset=offset)
            self._regions.release(region)
        if output is None or tuple(output.shape) != shape or output.datatype != spec.output.dtype or length != expected:
            got = f"{output.datatype} {tuple(output.shape)}" if output else "nothing"
            raise InferenceError(
                f"model {model.name!r} answered {got} in {length} bytes, its spec promises "
                f"{spec.output.dtype} {shape} in {expected}"
            )
        if region is None:
            tensor_out = np.frombuffer(raw, dtype).reshape(spec.output_shape)
        return InferenceResult(tensor_out, response.model_version)


def _in_flight(config: Any) -> int:
    """Return how many calls keep all instances of a model at work: for each, one that runs and one that is next.

    On a GPU an instance runs a whole batch at once. On a CPU a batch takes as long as its parts, one after the other.
    """
    batch = max(1, config.max_batch_size) if config.HasField("dynamic_batching") else 1
    gpu = model_config_pb2.ModelInstanceGroup.KIND_GPU
    calls = sum(
        group.count * (batch * max(1, len(group.gpus)) if group.kind == gpu else 1) for group in config.instance_group
    )
    return 2 * max(1, calls)


def _output_bytes(spec: ModelSpec) -> int:
    return math.prod(spec.output_shape) * _DTYPES[spec.output.dtype].itemsize


def _output_offset(tensor: Array) -> int:
    """Return the offset of the output in a region: after the input, at a cache line of 64 bytes."""
    return -(-tensor.nbytes // 64) * 64


def _set_shared_memory(tensor: Any, region: Region, *, offset: int, size: int) -> None:
    """Set the place of a request's tensor in shared memory."""
    tensor.parameters["shared_memory_region"].string_param = region.name
    tensor.parameters["shared_memory_offset"].int64_param = offset
    tensor.parameters["shared_memory_byte_size"].int64_param = size


def _check_tensor(model: str, kind: str, tensors: Any, promised: tuple[str, str, tuple[int, ...]]) -> None:
    """Check that a model's config has one input or output, and that it agrees with the spec."""
    configured = [
        (tensor.name, model_config_pb2.DataType.Name(tensor.data_type).removeprefix("TYPE_"), tuple(tensor.dims))
        for tensor in tensors
    ]
    if configured != [promised]:
        raise ModelSpecError(f"model {model!r}: its {kind} is {configured}, its spec promises {[promised]}")
