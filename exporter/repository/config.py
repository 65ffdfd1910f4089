"""Write and read Triton's ``config.pbtxt``.

It is written through Triton's own protobuf schema, so that nothing invalid is ever written.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2

from sixpoint.errors import ModelSpecError
from sixpoint.model_spec import (
    CANDIDATE_PARAMETER,
    SPEC_PARAMETER,
    TENANTS_PARAMETER,
    Candidate,
    ModelSpec,
    tenants_from_json,
    tenants_to_json,
)

__all__ = ["FILE_NAME", "ExecutionConfig", "ModelConfig", "Tensor"]

FILE_NAME = "config.pbtxt"

# Engines take minutes to build: they are cached, with TensorRT's timings, in a folder on the serving machine.
_TENSORRT = {
    "name": "tensorrt",
    "parameters": {
        "precision_mode": "FP16",
        "max_workspace_size_bytes": str(2**30),
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": "/tmp/sixpoint-tensorrt",
        "trt_timing_cache_enable": "1",
    },
}


@dataclass(frozen=True)
class Tensor:
    """An input or output of a model.

    Attributes:
        name: Name in the graph.
        dtype: Triton's name of its type, as FP16 or UINT8.
        dims: Shape without the batch axis, [channel, z, y, x]; -1 for an axis of any size.
    """

    name: str
    dtype: str
    dims: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class ExecutionConfig:
    """How Triton runs a model.

    Attributes:
        preferred: Batch sizes that Triton waits for. Empty: it batches the requests that are queued; only 1: it never
            batches.
        delay_us: Microseconds that a request may wait for others; 0 keeps the latency of clicks low.
        instances: Copies of the network on each device.
        tensorrt: Whether ONNX Runtime uses TensorRT, in half precision, on a GPU.
    """

    preferred: tuple[int, ...] = ()
    delay_us: int = 0
    instances: int = 1
    tensorrt: bool = False


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Triton's config of one model, shared by all its versions.

    Attributes:
        name: Name of the model and its folder.
        spec: Description for the gateway; None for a model that is not sixpoint's.
        inputs: Input tensors.
        outputs: Output tensors.
        max_batch_size: Largest batch that Triton may form.
        versions: Number of newest versions to serve: 2, so that requests under way finish on the old one.
        served: Versions to serve in place of the newest ones; empty: the newest.
        candidate: Version on trial; None: no trial.
        tenants: Names of the tenants that see the model; None: all.
        execution: Batching, instances and accelerator.
        backend: Triton backend of all versions: "onnxruntime", or "tensorrt" for plans.
    """

    name: str
    spec: ModelSpec | None
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    max_batch_size: int = 8
    versions: int = 2
    served: tuple[int, ...] = ()
    candidate: Candidate | None = None
    tenants: frozenset[str] | None = None
    execution: ExecutionConfig = ExecutionConfig()
    backend: str = field(default="onnxruntime")

    @classmethod
    def of(cls, spec: ModelSpec, *, name: str, max_batch_size: int = 8) -> ModelConfig:
        """Return the config of a model for its spec."""
        return cls(
            name=name,
            spec=spec,
            inputs=(Tensor(spec.input.name, spec.input.dtype, spec.input_shape),),
            outputs=(Tensor(spec.output.name, spec.output.dtype, spec.output_shape),),
            max_batch_size=max_batch_size,
        )

    def to_text(self) -> str:
        """Return the content of ``config.pbtxt``."""
        message = json_format.ParseDict(self._fields(), model_config_pb2.ModelConfig())
        text: str = text_format.MessageToString(message, as_utf8=True)
        return text

    @classmethod
    def from_text(cls, text: str) -> ModelConfig:
        """Parse the content of ``config.pbtxt``, from any tool.

        Raises:
            ModelSpecError: The text is not a model config, or its spec is invalid.
        """
        message: Any = model_config_pb2.ModelConfig()
        try:
            text_format.Parse(text, message)
        except text_format.ParseError as error:
            raise ModelSpecError(f"{FILE_NAME} is not a model config of Triton: {error}") from error
        return cls.of_message(message)

    @classmethod
    def of_message(cls, message: Any) -> ModelConfig:
        """Convert Triton's ``ModelConfig`` message, from ``config.pbtxt`` or from a running Triton.

        Raises:
            ModelSpecError: Its spec, candidate or tenants are invalid.
        """
        parameter = message.parameters[SPEC_PARAMETER].string_value if SPEC_PARAMETER in message.parameters else ""
        return cls(
            name=message.name,
            spec=ModelSpec.from_json(parameter) if parameter else None,
            inputs=tuple(map(_tensor, message.input)),
            outputs=tuple(map(_tensor, message.output)),
            max_batch_size=message.max_batch_size,
            versions=message.version_policy.latest.num_versions or 1,
            served=tuple(message.version_policy.specific.versions),
            candidate=_candidate(message),
            tenants=_tenants(message),
            execution=_execution(message),
            backend=message.backend,
        )

    @classmethod
    def read(cls, folder: Path) -> ModelConfig:
        """Read the config in a model's folder.

        Raises:
            ModelSpecError: There is no config, or it is invalid (:meth:`from_text`).
        """
        try:
            return cls.from_text((folder / FILE_NAME).read_text())
        except (OSError, UnicodeDecodeError) as error:
            raise ModelSpecError(f"{FILE_NAME} cannot be read: {error}") from error

    def _fields(self) -> dict[str, Any]:
        """Return the JSON form of Triton's ``ModelConfig`` message."""
        fields: dict[str, Any] = {
            "name": self.name,
            "backend": self.backend,
            **({"platform": "tensorrt_plan"} if self.backend == "tensorrt" else {}),
            "max_batch_size": self.max_batch_size,
            "input": [_fields(tensor) for tensor in self.inputs],
            "output": [_fields(tensor) for tensor in self.outputs],
            "version_policy": self._policy(),
            # Batch the requests that are queued anyway.
            "dynamic_batching": {
                "max_queue_delay_microseconds": self.execution.delay_us,
                "preferred_batch_size": list(self.execution.preferred),
            },
            # On every GPU; without one, on all cores of the CPU.
            "instance_group": [{"count": self.execution.instances, "kind": "KIND_AUTO"}],
            # Run once before it is ready, so that the first click is as fast as the second.
            "model_warmup": [{"name": "zeros", "batch_size": 1, "inputs": self._warmup()}],
        }
        parameters = {}
        if self.spec is not None:
            parameters[SPEC_PARAMETER] = self.spec.to_json()
        if self.candidate is not None:
            parameters[CANDIDATE_PARAMETER] = self.candidate.to_json()
        if self.tenants is not None:
            parameters[TENANTS_PARAMETER] = tenants_to_json(self.tenants)
        fields["parameters"] = {key: {"string_value": value} for key, value in parameters.items()}
        if self.execution.tensorrt:
            fields["optimization"] = {"execution_accelerators": {"gpu_execution_accelerator": [_TENSORRT]}}
        return fields

    def _policy(self) -> dict[str, Any]:
        if self.served:
            return {"specific": {"versions": list(self.served)}}
        return {"latest": {"num_versions": self.versions}}

    def _warmup(self) -> dict[str, Any]:
        return {
            tensor.name: {"data_type": f"TYPE_{tensor.dtype}", "dims": list(tensor.dims), "zero_data": True}
            for tensor in self.inputs
        }


def _fields(tensor: Tensor) -> dict[str, Any]:
    return {"name": tensor.name, "data_type": f"TYPE_{tensor.dtype}", "dims": list(tensor.dims)}


def _tensor(message: Any) -> Tensor:
    dtype = model_config_pb2.DataType.Name(message.data_type).removeprefix("TYPE_")
    return Tensor(message.name, dtype, tuple(message.dims))


def _candidate(message: Any) -> Candidate | None:
    if CANDIDATE_PARAMETER not in message.parameters:
        return None
    return Candidate.from_json(message.parameters[CANDIDATE_PARAMETER].string_value)


def _tenants(message: Any) -> frozenset[str] | None:
    if TENANTS_PARAMETER not in message.parameters:
        return None
    return tenants_from_json(message.parameters[TENANTS_PARAMETER].string_value)


def _execution(message: Any) -> ExecutionConfig:
    batching = message.dynamic_batching
    accelerators = message.optimization.execution_accelerators.gpu_execution_accelerator
    return ExecutionConfig(
        preferred=tuple(batching.preferred_batch_size),
        delay_us=batching.max_queue_delay_microseconds,
        instances=max([group.count for group in message.instance_group], default=1),
        tensorrt=any(accelerator.name == "tensorrt" for accelerator in accelerators),
    )
