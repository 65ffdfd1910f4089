"""Triton's ``config.pbtxt``, from a ModelSpec and back.

Written by way of Triton's own protobuf schema, so that what it would not understand is never written.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2

from sixpoint.errors import ModelSpecError
from sixpoint.model_spec import CANDIDATE_PARAMETER, SPEC_PARAMETER, Candidate, ModelSpec

__all__ = ["FILE_NAME", "ExecutionConfig", "ModelConfig", "Tensor"]

FILE_NAME = "config.pbtxt"

# Engines take minutes to build: they are kept, as is what TensorRT measured; the folder is of the machine that builds.
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
        name: Its name in the graph.
        dtype: Triton's word for its type, as FP16 or UINT8.
        dims: Its shape without the batch axis, [channel, z, y, x]; -1: any.
    """

    name: str
    dtype: str
    dims: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class ExecutionConfig:
    """How Triton runs a model.

    Attributes:
        preferred: Batch sizes that Triton waits for; none: it takes what is there; 1: it joins no requests.
        delay_us: Microseconds that a request may wait for others. 0: nobody who clicks waits for others.
        instances: Copies of the network on each device.
        tensorrt: Whether ONNX Runtime is to run it by TensorRT, in half precision, where there is a GPU.
    """

    preferred: tuple[int, ...] = ()
    delay_us: int = 0
    instances: int = 1
    tensorrt: bool = False


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """What Triton is told about one model; one config for all its versions.

    Attributes:
        name: The model's name, which is also its folder's.
        spec: What the gateway is told; None: not a model of sixpoint.
        inputs: Its input tensors.
        outputs: Its output tensors.
        max_batch_size: Requests that may run together.
        versions: How many of the newest versions to serve: 2, so that requests under way finish on the old one.
        served: The versions to serve, in place of the newest ones; empty: the newest.
        candidate: The version that is on trial.
        tuning: How it is run.
        backend: The part of Triton that runs all of its versions: "onnxruntime", or "tensorrt" for plans.
    """

    name: str
    spec: ModelSpec | None
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    max_batch_size: int = 8
    versions: int = 2
    served: tuple[int, ...] = ()
    candidate: Candidate | None = None
    execution: ExecutionConfig = ExecutionConfig()
    backend: str = field(default="onnxruntime")

    @classmethod
    def of(cls, spec: ModelSpec, *, name: str, max_batch_size: int = 8) -> ModelConfig:
        """The config of a model that is as its spec says."""
        return cls(
            name=name,
            spec=spec,
            inputs=(Tensor(spec.input.name, spec.input.dtype, spec.input_shape),),
            outputs=(Tensor(spec.output.name, spec.output.dtype, spec.output_shape),),
            max_batch_size=max_batch_size,
        )

    def to_text(self) -> str:
        """The content of ``config.pbtxt``."""
        message = json_format.ParseDict(self._fields(), model_config_pb2.ModelConfig())
        text: str = text_format.MessageToString(message, as_utf8=True)
        return text

    @classmethod
    def from_text(cls, text: str) -> ModelConfig:
        """Read ``config.pbtxt``, whoever wrote it.

        Raises:
            ModelSpecError: The text is no model config, or holds a spec that is none.
        """
        message: Any = model_config_pb2.ModelConfig()
        try:
            text_format.Parse(text, message)
        except text_format.ParseError as error:
            raise ModelSpecError(f"{FILE_NAME} is no model config of Triton: {error}") from error
        return cls.of_message(message)

    @classmethod
    def of_message(cls, message: Any) -> ModelConfig:
        """Read Triton's own message, as it lies in ``config.pbtxt`` or as Triton tells it.

        Raises:
            ModelSpecError: It holds a spec or a candidate that is none.
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
            execution=_execution(message),
            backend=message.backend,
        )

    @classmethod
    def read(cls, folder: Path) -> ModelConfig:
        """Read the config in a model's folder.

        Raises:
            ModelSpecError: As :meth:`from_text`, or there is no config.
        """
        try:
            return cls.from_text((folder / FILE_NAME).read_text())
        except (OSError, UnicodeDecodeError) as error:
            raise ModelSpecError(f"{FILE_NAME} cannot be read: {error}") from error

    def _fields(self) -> dict[str, Any]:
        """The config as the JSON form of Triton's ``ModelConfig`` message."""
        fields: dict[str, Any] = {
            "name": self.name,
            "backend": self.backend,
            **({"platform": "tensorrt_plan"} if self.backend == "tensorrt" else {}),
            "max_batch_size": self.max_batch_size,
            "input": [_fields(tensor) for tensor in self.inputs],
            "output": [_fields(tensor) for tensor in self.outputs],
            "version_policy": self._policy(),
            # Join what waits anyway.
            "dynamic_batching": {
                "max_queue_delay_microseconds": self.execution.delay_us,
                "preferred_batch_size": list(self.execution.preferred),
            },
            # On every GPU where there are some, otherwise on the CPU with all its cores.
            "instance_group": [{"count": self.execution.instances, "kind": "KIND_AUTO"}],
            # Not ready before it has run once: the first click is as quick as the second.
            "model_warmup": [{"name": "zeros", "batch_size": 1, "inputs": self._warmup()}],
        }
        parameters = {}
        if self.spec is not None:
            parameters[SPEC_PARAMETER] = self.spec.to_json()
        if self.candidate is not None:
            parameters[CANDIDATE_PARAMETER] = self.candidate.to_json()
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


def _execution(message: Any) -> ExecutionConfig:
    batching = message.dynamic_batching
    accelerators = message.optimization.execution_accelerators.gpu_execution_accelerator
    return ExecutionConfig(
        preferred=tuple(batching.preferred_batch_size),
        delay_us=batching.max_queue_delay_microseconds,
        instances=max([group.count for group in message.instance_group], default=1),
        tensorrt=any(accelerator.name == "tensorrt" for accelerator in accelerators),
    )
