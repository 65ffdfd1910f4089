"""Is a model repository one that Triton and the gateway can work with? Each file is checked, and each model run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from exporter.graph.external_data import (
    MODEL_FILE,
    PLAN_FILE,
    model_file_name,
    model_files,
    sha256_of_files,
    source_files,
)
from exporter.parity.compare import probabilities, run_onnx, synthetic_batch
from exporter.repository.config import FILE_NAME, ModelConfig, Tensor
from exporter.repository.layout import model_folders, version_numbers
from exporter.repository.record import RECORD_FILE, VersionRecord
from sixpoint.errors import FailedPrecondition, InvalidArgument, ModelSpecError
from sixpoint.model_spec import ModelSpec

__all__ = ["ModelReport", "validate"]

_TYPES = {"FLOAT16": "FP16", "FLOAT": "FP32"}  # ONNX's words for types, where Triton has others
_NUMPY = {"FP16": np.float16, "FP32": np.float32, "UINT8": np.uint8}


@dataclass(frozen=True)
class ModelReport:
    """What was found of one model.

    Attributes:
        name: Of its folder.
        versions: Those there, oldest first.
        inputs: What goes in, by its config, as ``INPUT FP16 [6, 64, 64, 64]``.
        outputs: What comes out.
        problems: What is wrong; empty: nothing.
    """

    name: str
    versions: tuple[int, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    problems: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON knows it."""
        return asdict(self)


def validate(repository: Path) -> list[ModelReport]:
    """Check every model in a repository.

    Raises:
        FailedPrecondition: There is no such folder.
    """
    if not repository.is_dir():
        raise FailedPrecondition(f"there is no model repository {repository}")
    return [_report(folder) for folder in model_folders(repository)]


def _report(folder: Path) -> ModelReport:
    found = version_numbers(folder)
    problems = [] if found else ["there is no version: a folder named 1, 2, ..."]
    config = None
    try:
        config = ModelConfig.read(folder)
        spec = _check_config(config, folder.name)
        _check_served(config, found)
    except ModelSpecError as error:
        problems.append(error.message)
    else:
        for version in found:
            try:
                _check_version(folder / str(version) / model_file_name(config.backend), config, spec)
            except ModelSpecError as error:
                problems.append(f"version {version}: {error.message}")
    return ModelReport(
        name=folder.name,
        versions=tuple(found),
        inputs=tuple(map(_describe, config.inputs if config else ())),
        outputs=tuple(map(_describe, config.outputs if config else ())),
        problems=tuple(problems),
    )


def _check_config(config: ModelConfig, name: str) -> ModelSpec:
    """Compare a config with its folder's name and with its own spec; returns the spec."""
    if config.spec is None:
        raise ModelSpecError(f"{FILE_NAME} has no parameter sixpoint: the gateway does not know what the model needs")
    if config.name not in {"", name}:
        raise ModelSpecError(f"{FILE_NAME} names the model {config.name}, its folder {name}")
    if config.backend not in {"onnxruntime", "tensorrt"}:
        asked = config.backend or "none"
        raise ModelSpecError(f"{FILE_NAME} asks for backend {asked}, expected onnxruntime or tensorrt")
    if config.max_batch_size < 1:
        raise ModelSpecError(f"{FILE_NAME} has max_batch_size {config.max_batch_size}: the gateway sends batches")
    expected = ModelConfig.of(config.spec, name=name)
    for kind, mine, theirs in (("input", config.inputs, expected.inputs), ("output", config.outputs, expected.outputs)):
        if mine != theirs:
            raise ModelSpecError(f"{FILE_NAME} has {kind} {_list(mine)}, and its spec {_list(theirs)}")
    return config.spec


def _check_served(config: ModelConfig, found: list[int]) -> None:
    """Refuse a config that names a version which is not there: Triton would load none of the model."""
    missing = [version for version in config.served if found and version not in found]
    if missing:
        raise ModelSpecError(f"{FILE_NAME} serves version {missing[0]}, and there is no such folder")
    served = config.served or tuple(found[-config.versions :])
    if config.candidate is not None and int(config.candidate.version) not in served:
        raise ModelSpecError(f"{FILE_NAME} has version {config.candidate.version} on trial, and does not serve it")


def _check_version(path: Path, config: ModelConfig, spec: ModelSpec) -> None:
    """Check one version's graph, compare it with the config, and run it."""
    if not path.is_file():
        raise ModelSpecError(f"{path.name} is missing")
    if path.name == PLAN_FILE:
        # It runs in Triton alone, on its own kind of GPU: here it can be checked that it is what was published.
        if not path.with_name(RECORD_FILE).is_file():
            raise ModelSpecError(f"{RECORD_FILE} is missing: nothing else says what {PLAN_FILE} is")
        _check_record(path)
        return
    try:
        source_files(path)
    except InvalidArgument as error:
        raise ModelSpecError(error.message) from error
    try:
        onnx.checker.check_model(path, full_check=True)
        graph = onnx.load(path, load_external_data=False).graph
    except Exception as error:  # protobuf's, the checker's and the operating system's own
        raise ModelSpecError(f"{MODEL_FILE} is no ONNX model, or cut off or damaged: {_first_line(error)}") from error
    weights = {initializer.name for initializer in graph.initializer}
    inputs = [value for value in graph.input if value.name not in weights]
    for kind, values, expected in (("input", inputs, config.inputs), ("output", graph.output, config.outputs)):
        found = tuple(map(_tensor, values))
        if found != expected:
            raise ModelSpecError(f"{MODEL_FILE} has {kind} {_list(found)}, and {FILE_NAME} {_list(expected)}")
    _check_run(path, config, spec)
    _check_record(path)


def _check_record(path: Path) -> None:
    """Compare a version's files with what was kept with it when it was published."""
    record = path.with_name(RECORD_FILE)
    if not record.is_file():
        return
    try:
        expected = VersionRecord.from_json(record.read_bytes()).sha256
    except FailedPrecondition as error:
        raise ModelSpecError(error.message) from error
    if sha256_of_files(model_files(path)) != expected:
        raise ModelSpecError(
            f"{path.name} is not the one that {RECORD_FILE} was written for: it was changed after it was published"
        )


def _check_run(path: Path, config: ModelConfig, spec: ModelSpec) -> None:
    size = min(2, config.max_batch_size)
    try:
        output = run_onnx(path, spec, synthetic_batch(spec, size))
    except Exception as error:  # onnxruntime's errors have no base of their own
        raise ModelSpecError(f"{MODEL_FILE} does not run: {_first_line(error)}") from error
    expected = (size, *spec.output_shape)
    if output.shape != expected or output.dtype != _NUMPY[spec.output.dtype]:
        raise ModelSpecError(f"{MODEL_FILE} returns {output.dtype} {list(output.shape)}, expected {list(expected)}")
    value = probabilities(output)
    if not (np.isfinite(value).all() and value.min() >= 0 and value.max() <= 1):
        raise ModelSpecError(f"{MODEL_FILE} returns what are no probabilities: {value.min():g} to {value.max():g}")


def _tensor(value: onnx.ValueInfoProto) -> Tensor:
    """A graph's tensor without its batch axis; -1 where an axis has no fixed size."""
    kind = value.type.tensor_type
    dims = tuple(dim.dim_value if dim.HasField("dim_value") else -1 for dim in kind.shape.dim)
    word = onnx.TensorProto.DataType.Name(kind.elem_type)
    dtype = _TYPES.get(word, word)
    if dims[:1] != (-1,):
        return Tensor(f"{value.name} of a fixed batch size", dtype, dims)
    return Tensor(value.name, dtype, dims[1:])


def _describe(tensor: Tensor) -> str:
    return f"{tensor.name} {tensor.dtype} {list(tensor.dims)}"


def _list(tensors: tuple[Tensor, ...]) -> str:
    return ", ".join(map(_describe, tensors)) or "none"


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
