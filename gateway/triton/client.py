"""Calling Triton over gRPC with its generated stub: which models it serves, and running them."""

from __future__ import annotations

import asyncio
import math
import time
from types import TracebackType
from typing import Any, Self

import grpc
import grpc.aio
import numpy as np
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

from gateway.core.runtime.catalog import Model
from gateway.core.runtime.inference import InferenceResult
from gateway.triton.shared_memory import Region, RegionPool
from sixpoint._typing import Array, Floating
from sixpoint.errors import DeadlineExceeded, InferenceError, ModelSpecError, SixpointError, TritonUnavailable
from sixpoint.model_spec import CANDIDATE_PARAMETER, SPEC_PARAMETER, Candidate, ModelSpec

__all__ = ["TritonClient"]

_DTYPES: dict[str, np.dtype[Any]] = {"UINT8": np.dtype("<u1"), "FP16": np.dtype("<f2"), "FP32": np.dtype("<f4")}
_RETRY_SECONDS = 2.0
# Triton's words for a version that it does not serve, of a model that it may serve others of.
_NOT_THIS_VERSION = "is not at ready state"
# A look that takes longer than this is as good as no Triton.
_LOOK_SECONDS = 5.0
# Quick to notice that Triton is back; tensors are larger than gRPC's default of 4 MiB.
_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.enable_http_proxy", 0),
)


class TritonClient:
    """One connection to Triton. An async context manager; calls are cancelled when the task that awaits them is.

    Args:
        url: host:port of its gRPC endpoint.
        shared_memory: Whether tensors may pass in shared memory, where Triton runs on this machine and offers it.
    """

    def __init__(self, url: str, *, shared_memory: bool = True) -> None:
        self._channel = grpc.aio.insecure_channel(url, options=_OPTIONS)
        self._stub: Any = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)
        self._regions = RegionPool(self._stub, enabled=shared_memory)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._regions.close()
        await self._channel.close()

    async def versions(self) -> dict[str, tuple[str, ...]]:
        """The ready versions of every model that has some, oldest first, by name.

        Raises:
            TritonUnavailable: When Triton does not answer.
        """
        try:
            index = await self._stub.RepositoryIndex(
                service_pb2.RepositoryIndexRequest(ready=True), timeout=_LOOK_SECONDS
            )
        except grpc.aio.AioRpcError as error:
            self._regions.invalidate()
            raise _unreachable() from error
        ready: dict[str, list[str]] = {}
        for model in index.models:
            if model.state == "READY" and model.version:
                ready.setdefault(model.name, []).append(model.version)
        # Versions are numbers.
        return {name: tuple(sorted(versions, key=int)) for name, versions in ready.items()}

    async def describe(self, name: str, versions: tuple[str, ...]) -> Model | None:
        """A model as it describes itself; None when it is not made for sixpoint, or all that is ready is on trial.

        Args:
            name: Of the model.
            versions: Those that are ready, oldest first.

        Raises:
            TritonUnavailable: When Triton does not answer, or the model just went.
            ModelSpecError: When its description is wrong, or contradicts its tensors.
        """
        try:
            response = await self._stub.ModelConfig(
                service_pb2.ModelConfigRequest(name=name, version=versions[-1]), timeout=_LOOK_SECONDS
            )
        except grpc.aio.AioRpcError as error:
            raise _unreachable() from error
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
        return Model(name, versions[-1], spec, candidate) if versions else None

    async def infer(self, model: Model, tensor: Floating, *, timeout: float, version: str = "") -> InferenceResult:
        """Run one input through a version of a model.

        Args:
            model: Of the catalog.
            tensor: The input, [channel, z, y, x].
            timeout: Seconds that it may take.
            version: Which version; empty: the model's own. One that Triton just let go of is answered by the newest;
                the answer says which version made it.

        Raises:
            DeadlineExceeded: When Triton took longer.
            TritonUnavailable: When Triton cannot be reached or the model is not ready.
            InferenceError: When it refuses, or answers something else than the model's spec promises.
        """
        deadline = time.monotonic() + timeout
        version = version or model.version
        try:
            return await self._infer_version(model, version, tensor, timeout=timeout)
        except TritonUnavailable as error:
            cause = error.__cause__
            if not (isinstance(cause, grpc.aio.AioRpcError) and _NOT_THIS_VERSION in (cause.details() or "")):
                raise
            return await self._infer_version(model, "", tensor, timeout=deadline - time.monotonic())

    async def _infer_version(self, model: Model, version: str, tensor: Floating, *, timeout: float) -> InferenceResult:
        """Run one input through a version, or the newest one (empty): in shared memory if Triton offers it."""
        deadline = time.monotonic() + timeout
        region = await self._regions.acquire(_output_offset(tensor) + _output_bytes(model.spec))
        if region is not None:
            try:
                return await self._infer(model, version, tensor, region, timeout=timeout)
            except SixpointError as error:
                # Triton was started anew, say, and does not know the region. By bytes the call goes, or tells more.
                cause = error.__cause__
                if not (isinstance(cause, grpc.aio.AioRpcError) and "shared memory" in (cause.details() or "")):
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
        """Run one input, in shared memory or as bytes."""
        spec = model.spec
        shape, dtype = (1, *spec.output_shape), _DTYPES[spec.output.dtype]
        expected, offset = _output_bytes(spec), _output_offset(tensor)
        request = service_pb2.ModelInferRequest(model_name=model.name, model_version=version)
        given = request.inputs.add(name=spec.input.name, datatype=spec.input.dtype, shape=[1, *tensor.shape])
        wanted = request.outputs.add(name=spec.output.name)
        if region is None:
            request.raw_input_contents.append(tensor.tobytes())
        else:
            region.write(tensor)
            _set_shared_memory(given, region, offset=0, size=tensor.nbytes)
            _set_shared_memory(wanted, region, offset=offset, size=expected)
        try:
            response = await self._stub.ModelInfer(request, timeout=timeout)
        except grpc.aio.AioRpcError as error:
            if region is not None:
                self._regions.quarantine(region)
            raise _error_from(error) from error
        except asyncio.CancelledError:
            if region is not None:
                self._regions.quarantine(region)
            raise
        output = response.outputs[0] if response.outputs else None
        raw = response.raw_output_contents[0] if response.raw_output_contents else b""
        # Of an answer in shared memory Triton says shape and type alone.
        length = len(raw) if region is None else expected
        if region is not None:
            answer = region.read(dtype, spec.output_shape, offset=offset)
            self._regions.release(region)
        if output is None or tuple(output.shape) != shape or output.datatype != spec.output.dtype or length != expected:
            got = f"{output.datatype} {tuple(output.shape)}" if output else "nothing"
            raise InferenceError(
                f"model {model.name!r} answered {got} in {length} bytes, its spec promises "
                f"{spec.output.dtype} {shape} in {expected}"
            )
        if region is None:
            answer = np.frombuffer(raw, dtype).reshape(spec.output_shape)
        return InferenceResult(answer, response.model_version)


def _output_bytes(spec: ModelSpec) -> int:
    return math.prod(spec.output_shape) * _DTYPES[spec.output.dtype].itemsize


def _output_offset(tensor: Array) -> int:
    """Where in a region the output begins: after the input, on a whole line of the processor's cache."""
    return -(-tensor.nbytes // 64) * 64


def _set_shared_memory(tensor: Any, region: Region, *, offset: int, size: int) -> None:
    """Say where in shared memory a tensor of a request is."""
    tensor.parameters["shared_memory_region"].string_param = region.name
    tensor.parameters["shared_memory_offset"].int64_param = offset
    tensor.parameters["shared_memory_byte_size"].int64_param = size


def _check_tensor(model: str, kind: str, tensors: Any, promised: tuple[str, str, tuple[int, ...]]) -> None:
    """Compare a model's one input or output in Triton's config with what its spec promises."""
    found = [
        (tensor.name, model_config_pb2.DataType.Name(tensor.data_type).removeprefix("TYPE_"), tuple(tensor.dims))
        for tensor in tensors
    ]
    if found != [promised]:
        raise ModelSpecError(f"model {model!r}: its {kind} is {found}, its spec promises {[promised]}")


def _unreachable() -> TritonUnavailable:
    return TritonUnavailable("Triton cannot be reached just now; try again", retry_after=_RETRY_SECONDS)


def _error_from(error: grpc.aio.AioRpcError) -> SixpointError:
    match error.code():
        # NOT_FOUND: the model was unloaded since the last look at the repository.
        case grpc.StatusCode.UNAVAILABLE | grpc.StatusCode.NOT_FOUND:
            return _unreachable()
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return DeadlineExceeded("the deadline passed while Triton was computing")
        # Triton's words for a model whose process died (out of memory, say); it is started again.
        case grpc.StatusCode.INTERNAL if "is not healthy" in (error.details() or ""):
            return _unreachable()
        case code:
            return InferenceError(f"Triton refused the request: {code.name}")
