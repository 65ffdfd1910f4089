"""Validate a model repository: check every file, and run every model."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from exporter.graph.external_data import source_files
from exporter.graph.model_files import MODEL_FILE, PLAN_FILE, model_file_name, model_files, sha256_of_files
from exporter.parity.compare import probabilities, run_onnx
from exporter.parity.inputs import synthetic_batch
from exporter.repository.config import FILE_NAME, ModelConfig, Tensor
from exporter.repository.layout import model_folders, version_numbers
from exporter.repository.record import RECORD_FILE, VersionRecord
from sixpoint.errors import FailedPrecondition, InvalidArgument, ModelSpecError
from sixpoint.model_spec import ModelSpec

__all__ = ["ModelReport", "validate"]

_TYPES = {"FLOAT16": "FP16", "FLOAT": "FP32"}  # ONNX names of types that Triton names differently
_NUMPY = {"FP16": np.float16, "FP32": np.float32, "UINT8": np.uint8}


@dataclass(frozen=True)
class ModelReport:
    """Result of validating one model.

    Attributes:
        name: Name of its folder.
        versions: Its versions, oldest first.
        inputs: Input tensors of its config, as ``INPUT FP16 [6, 64, 64, 64]``.
        outputs: Output tensors of its config.
        problems: Descriptions of problems; empty if the model is valid.
    """

    name: str
    versions: tuple[int, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    problems: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the report as a JSON object."""
        return asdict(self)


def validate(repository: Path) -> list[ModelReport]:
    """Validate every model in a repository.

    Raises:
        FailedPrecondition: The folder does not exist.
    """
    if not repository.is_dir():
        raise FailedPrecondition(f"there is no model repository {repository}")
    return [_report(folder) for folder in model_folders(repository)]


def _report(folder: Path) -> ModelReport:
    numbers = version_numbers(folder)
    problems = [] if numbers else ["it has no version: expected a folder named 1, 2, ..."]
    config = None
    try:
        config = ModelConfig.read(folder)
        spec = _check_config(config, folder.name)
        _check_served(config, numbers)
    except ModelSpecError as error:
        problems.append(error.message)
    else:
        for version in numbers:
            try:
                _check_version(folder / str(version) / model_file_name(config.backend), config, spec)
            except ModelSpecError as error:
                problems.append(f"version {version}: {error.message}")
    return ModelReport(
        name=folder.name,
        versions=tuple(numbers),
        inputs=tuple(map(_describe, config.inputs if config else ())),
        outputs=tuple(map(_describe, config.outputs if config else ())),
        problems=tuple(problems),
    )


def _check_config(config: ModelConfig, name: str) -> ModelSpec:
    """Check a config against its folder's name and its own spec; return the spec."""
    if config.spec is None:
        raise ModelSpecError(f"{FILE_NAME} has no parameter sixpoint: the gateway needs the model's spec there")
    if config.name not in {"", name}:
        raise ModelSpecError(f"{FILE_NAME} names the model {config.name}, and its folder is {name}")
    if config.backend not in {"onnxruntime", "tensorrt"}:
        backend = config.backend or "none"
        raise ModelSpecError(f"{FILE_NAME} has backend {backend}, expected onnxruntime or tensorrt")
    if config.max_batch_size < 1:
        raise ModelSpecError(
            f"{FILE_NAME} has max_batch_size {config.max_batch_size}, expected at least 1: the gateway sends batches"
        )
    expected = ModelConfig.of(config.spec, name=name)
    for side, actual, wanted in (
        ("input", config.inputs, expected.inputs),
        ("output", config.outputs, expected.outputs),
    ):
        if actual != wanted:
            raise ModelSpecError(f"{FILE_NAME} has {side} {_list(actual)}, and its spec {_list(wanted)}")
    return config.spec


def _check_served(config: ModelConfig, numbers: list[int]) -> None:
    """Refuse a config that names a missing version: Triton would not load the model at all."""
    missing = [version for version in config.served if numbers and version not in numbers]
    if missing:
        raise ModelSpecError(f"{FILE_NAME} serves version {missing[0]}, which has no folder")
    served = config.served or tuple(numbers[-config.versions :])
    if config.candidate is not None and int(config.candidate.version) not in served:
        raise ModelSpecError(f"{FILE_NAME} has version {config.candidate.version} on trial, which it does not serve")


def _check_version(path: Path, config: ModelConfig, spec: ModelSpec) -> None:
    """Check a version's graph against the config, and run it."""
    if not path.is_file():
        raise ModelSpecError(f"{path.name} is missing")
    if path.name == PLAN_FILE:
        # A plan runs on its own kind of GPU only; what can be checked here is that it is the published file.
        if not path.with_name(RECORD_FILE).is_file():
            raise ModelSpecError(f"{RECORD_FILE} is missing: nothing else describes {PLAN_FILE}")
        _check_record(path)
        return
    try:
        source_files(path)
    except InvalidArgument as error:
        raise ModelSpecError(error.message) from error
    try:
        onnx.checker.check_model(path, full_check=True)
        graph = onnx.load(path, load_external_data=False).graph
    except Exception as error:  # of protobuf, the checker and the operating system
        raise ModelSpecError(
            f"{MODEL_FILE} is not an ONNX model, or is truncated or damaged: {_first_line(error)}"
        ) from error
    weights = {initializer.name for initializer in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    for side, values, expected in (("input", inputs, config.inputs), ("output", graph.output, config.outputs)):
        tensors = tuple(map(_tensor, values))
        if tensors != expected:
            raise ModelSpecError(f"{MODEL_FILE} has {side} {_list(tensors)}, and {FILE_NAME} {_list(expected)}")
    _check_run(path, config, spec)
    _check_record(path)


def _check_record(path: Path) -> None:
    """Check a version's files against the record that was written when it was published."""
    record = path.with_name(RECORD_FILE)
    if not record.is_file():
        return
    try:
        expected = VersionRecord.from_json(record.read_bytes()).sha256
    except FailedPrecondition as error:
        raise ModelSpecError(error.message) from error
    if sha256_of_files(model_files(path)) != expected:
        raise ModelSpecError(
            f"{path.name} was changed after it was published: its SHA-256 differs from {RECORD_FILE}'s"
        )


def _check_run(path: Path, config: ModelConfig, spec: ModelSpec) -> None:
    size = min(2, config.max_batch_size)
    try:
        output = run_onnx(path, spec, synthetic_batch(spec, size))
    except Exception as error:  # ONNX Runtime's errors have no common base class
        raise ModelSpecError(f"{MODEL_FILE} does not run: {_first_line(error)}") from error
    expected = (size, *spec.output_shape)
    if output.shape != expected or output.dtype != _NUMPY[spec.output.dtype]:
        raise ModelSpecError(f"{MODEL_FILE} returns {output.dtype} {list(output.shape)}, expected {list(expected)}")
    value = probabilities(output, spec)
    # A bundle's threshold may be on the network's own output, which need not be a probability.
    raw = not spec.output.exclusive and spec.output.dtype == "FP32" and spec.activation == "none"
    if not (np.isfinite(value).all() and (raw or (value.min() >= 0 and value.max() <= 1))):
        raise ModelSpecError(
            f"{MODEL_FILE} returns values from {value.min():g} to {value.max():g}, expected probabilities of 0 to 1"
        )


def _tensor(value: onnx.ValueInfoProto) -> Tensor:
    """Return a graph's tensor without its batch axis, with -1 for an axis of no fixed size."""
    kind = value.type.tensor_type
    dims = tuple(dim.dim_value if dim.HasField("dim_value") else -1 for dim in kind.shape.dim)
    name = onnx.TensorProto.DataType.Name(kind.elem_type)
    dtype = _TYPES.get(name, name)
    if dims[:1] != (-1,):
        return Tensor(f"{value.name} with a fixed batch size", dtype, dims)
    return Tensor(value.name, dtype, dims[1:])


def _describe(tensor: Tensor) -> str:
    return f"{tensor.name} {tensor.dtype} {list(tensor.dims)}"


def _list(tensors: tuple[Tensor, ...]) -> str:
    return ", ".join(map(_describe, tensors)) or "none"


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
