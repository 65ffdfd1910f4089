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
from sixpoint.spec import PARAMETER, ModelSpec

__all__ = ["FILE_NAME", "ModelConfig", "Tensor"]

FILE_NAME = "config.pbtxt"


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
class ModelConfig:
    """What Triton is told about one model; one config for all its versions.

    Attributes:
        name: The model's name, which is also its folder's.
        spec: What the gateway is told; None: not a model of sixpoint.
        inputs: Its input tensors.
        outputs: Its output tensors.
        max_batch_size: Requests that may run together.
        versions: How many of the newest versions to serve: 2, so that requests under way finish on the old one.
        backend: The part of Triton that runs it.
    """

    name: str
    spec: ModelSpec | None
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    max_batch_size: int = 8
    versions: int = 2
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
        parameter = message.parameters[PARAMETER].string_value if PARAMETER in message.parameters else ""
        return cls(
            name=message.name,
            spec=ModelSpec.from_json(parameter) if parameter else None,
            inputs=tuple(map(_tensor, message.input)),
            outputs=tuple(map(_tensor, message.output)),
            max_batch_size=message.max_batch_size,
            versions=message.version_policy.latest.num_versions or 1,
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
            "max_batch_size": self.max_batch_size,
            "input": [_fields(tensor) for tensor in self.inputs],
            "output": [_fields(tensor) for tensor in self.outputs],
            "version_policy": {"latest": {"num_versions": self.versions}},
            # Join what waits anyway; nobody who clicks waits for others.
            "dynamic_batching": {"max_queue_delay_microseconds": 0},
            # One per GPU where there are some, otherwise one on the CPU with all its cores.
            "instance_group": [{"count": 1, "kind": "KIND_AUTO"}],
            # Not ready before it has run once: the first click is as quick as the second.
            "model_warmup": [{"name": "zeros", "batch_size": 1, "inputs": self._warmup()}],
        }
        if self.spec is not None:
            fields["parameters"] = {PARAMETER: {"string_value": self.spec.to_json()}}
        return fields

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
