"""Calling Triton over gRPC with its generated stub: which models it serves, and running them."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import grpc
import grpc.aio
import numpy as np
import numpy.typing as npt
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc

from gateway.core.catalog import Model
from gateway.core.outline import Inferred
from sixpoint.errors import DeadlineExceeded, InferenceError, ModelSpecError, SixpointError, TritonUnavailable
from sixpoint.spec import PARAMETER, ModelSpec

__all__ = ["TritonClient"]

_DTYPES: dict[str, np.dtype[Any]] = {"UINT8": np.dtype("<u1"), "FP16": np.dtype("<f2"), "FP32": np.dtype("<f4")}
_RETRY_SECONDS = 2.0
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
    """

    def __init__(self, url: str) -> None:
        self._channel = grpc.aio.insecure_channel(url, options=_OPTIONS)
        self._stub: Any = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._channel.close()

    async def versions(self) -> dict[str, str]:
        """The newest ready version of every model, by name.

        Raises:
            TritonUnavailable: When Triton does not answer.
        """
        try:
            index = await self._stub.RepositoryIndex(
                service_pb2.RepositoryIndexRequest(ready=True), timeout=_LOOK_SECONDS
            )
        except grpc.aio.AioRpcError as error:
            raise _away() from error
        newest: dict[str, str] = {}
        for model in index.models:
            # Versions are numbers; the largest answers requests that name none.
            if model.state == "READY" and int(model.version or 0) > int(newest.get(model.name, -1)):
                newest[model.name] = model.version
        return newest

    async def describe(self, name: str, version: str) -> Model | None:
        """A model as it describes itself; None when it is not made for sixpoint.

        Raises:
            TritonUnavailable: When Triton does not answer, or the model just went.
            ModelSpecError: When its description is wrong, or contradicts its tensors.
        """
        try:
            response = await self._stub.ModelConfig(
                service_pb2.ModelConfigRequest(name=name, version=version), timeout=_LOOK_SECONDS
            )
        except grpc.aio.AioRpcError as error:
            raise _away() from error
        config = response.config
        if PARAMETER not in config.parameters:
            return None
        spec = ModelSpec.from_json(config.parameters[PARAMETER].string_value)
        _check_tensor(name, "input", config.input, (spec.input.name, spec.input.dtype, spec.input_shape))
        _check_tensor(name, "output", config.output, (spec.output.name, spec.output.dtype, spec.output_shape))
        return Model(name, version, spec)

    async def infer(self, model: Model, tensor: npt.NDArray[np.floating], *, timeout: float) -> Inferred:
        """Run one input [channel, z, y, x] through the newest version of a model, within ``timeout`` seconds.

        Raises:
            DeadlineExceeded: When Triton took longer.
            TritonUnavailable: When Triton cannot be reached or the model is not ready.
            InferenceError: When it refuses, or answers something else than the model's spec promises.
        """
        spec = model.spec
        request = service_pb2.ModelInferRequest(
            model_name=model.name, raw_input_contents=[np.ascontiguousarray(tensor).tobytes()]
        )
        request.inputs.add(name=spec.input.name, datatype=spec.input.dtype, shape=[1, *tensor.shape])
        request.outputs.add(name=spec.output.name)
        try:
            response = await self._stub.ModelInfer(request, timeout=timeout)
        except grpc.aio.AioRpcError as error:
            raise _failure(error) from error
        shape = (1, *spec.output_shape)
        dtype = _DTYPES[spec.output.dtype]
        raw = response.raw_output_contents[0] if response.raw_output_contents else b""
        output = response.outputs[0] if response.outputs else None
        expected = int(np.prod(shape)) * dtype.itemsize
        if (
            output is None
            or tuple(output.shape) != shape
            or output.datatype != spec.output.dtype
            or len(raw) != expected
        ):
            got = f"{output.datatype} {tuple(output.shape)}" if output else "nothing"
            raise InferenceError(
                f"model {model.name!r} answered {got} in {len(raw)} bytes, its spec promises "
                f"{spec.output.dtype} {shape} in {expected}"
            )
        return Inferred(np.frombuffer(raw, dtype).reshape(spec.output_shape), response.model_version)


def _check_tensor(model: str, kind: str, tensors: Any, promised: tuple[str, str, tuple[int, ...]]) -> None:
    """Compare a model's one input or output in Triton's config with what its spec promises."""
    found = [
        (tensor.name, model_config_pb2.DataType.Name(tensor.data_type).removeprefix("TYPE_"), tuple(tensor.dims))
        for tensor in tensors
    ]
    if found != [promised]:
        raise ModelSpecError(f"model {model!r}: its {kind} is {found}, its spec promises {[promised]}")


def _away() -> TritonUnavailable:
    return TritonUnavailable("Triton cannot be reached just now; try again", retry_after=_RETRY_SECONDS)


def _failure(error: grpc.aio.AioRpcError) -> SixpointError:
    match error.code():
        # NOT_FOUND: the model was unloaded since the last look at the repository.
        case grpc.StatusCode.UNAVAILABLE | grpc.StatusCode.NOT_FOUND:
            return _away()
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return DeadlineExceeded("the deadline passed while Triton was computing")
        # Triton's words for a model whose process died (out of memory, say); it is started again.
        case grpc.StatusCode.INTERNAL if "is not healthy" in (error.details() or ""):
            return _away()
        case code:
            return InferenceError(f"Triton refused the request: {code.name}")
