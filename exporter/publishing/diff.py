"""Compare two versions of a model: spec, metrics, files, and answers to the same inputs."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from exporter.parity.compare import OnnxRunner, compare_outputs
from exporter.parity.inputs import parity_inputs
from exporter.parity.report import Agreement
from exporter.repository.protocol import ModelRepository
from exporter.repository.view import fetch_model, read_record, require_config, require_version
from sixpoint.environment import repository_option
from sixpoint.errors import FailedPrecondition
from sixpoint.volume import Volume

__all__ = ["VersionDiff", "diff"]


@dataclass(frozen=True)
class VersionDiff:
    """Differences between two versions.

    Attributes:
        fields: Fields of the version records that differ, by dotted name: the value of the first and of the second
            version; None where a version lacks the field.
        answers: Agreement of their answers to the same inputs.
        sample: Origin of these inputs: "image" or "phantom".
    """

    fields: dict[str, tuple[Any, Any]]
    answers: Agreement
    sample: str


def diff(
    repository: ModelRepository, name: str, first: int, second: int, *, image: Volume | None = None
) -> VersionDiff:
    """Compare two versions, both run by ONNX Runtime.

    Args:
        repository: The repository.
        name: Name of the model.
        first: Number of the first version.
        second: Number of the second version.
        image: Image to make the inputs from; None: the phantom.

    Raises:
        NotFound: The model or a version does not exist.
        FailedPrecondition: The versions are TensorRT plans, which ONNX Runtime cannot run.
    """
    config = require_config(repository, name)
    if config.backend == "tensorrt":
        raise FailedPrecondition(
            f"the versions of {name} are TensorRT plans, which only Triton can run: compare the models they were "
            f"built from, or their records (exporter versions {name} --json{repository_option(repository.address)})"
        )
    pair = [require_version(repository, name, version) for version in (first, second)]
    records = [read_record(repository, name, version) for version in pair]
    # All versions of a model have the same tensors.
    spec = records[0].spec
    inputs = parity_inputs(spec, image)
    answers = []
    with tempfile.TemporaryDirectory(prefix="sixpoint-diff-") as folder:
        for version in pair:
            target = Path(folder, str(version))
            target.mkdir(exist_ok=True)
            model = OnnxRunner(fetch_model(repository, config.name, version, target), spec)
            answers.append(np.concatenate([model(single[None]) for single in inputs.batch]))
    old, new = (_flatten(record.model_dump(mode="json", exclude={"published"})) for record in records)
    fields = {key: (old.get(key), new.get(key)) for key in sorted(old.keys() | new.keys())}
    return VersionDiff(
        fields={key: values for key, values in fields.items() if values[0] != values[1]},
        answers=compare_outputs(answers[0], answers[1], spec, who=f"version {second}"),
        sample=inputs.source,
    )


def _flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """Flatten nested mappings to one with dotted names."""
    if not isinstance(value, dict):
        return {prefix: value}
    parts = (_flatten(inner, f"{prefix}.{key}" if prefix else str(key)) for key, inner in value.items())
    return {key: inner for part in parts for key, inner in part.items()}
