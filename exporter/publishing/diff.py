"""What two versions of a model differ in: description, figures, file, and answers to the same inputs."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from exporter.parity.compare import run_onnx
from exporter.parity.inputs import parity_inputs
from exporter.parity.report import Agreement, agreement
from exporter.repository.protocol import ModelRepository
from exporter.repository.view import fetch_model, read_record, require_config, require_version
from sixpoint.errors import FailedPrecondition
from sixpoint.volume import Volume

__all__ = ["VersionDiff", "diff"]


@dataclass(frozen=True)
class VersionDiff:
    """How two versions differ.

    Attributes:
        fields: Of spec, figures and file, by dotted name: the value of the one and of the other; None: it has none.
        answers: How far their answers to the same inputs are apart.
        sample: What these were made of: "image" or "phantom".
    """

    fields: dict[str, tuple[Any, Any]]
    answers: Agreement
    sample: str


def diff(
    repository: ModelRepository, name: str, first: int, second: int, *, image: Volume | None = None
) -> VersionDiff:
    """Compare two versions; ONNX Runtime runs both.

    Args:
        repository: The repository.
        name: Of the model.
        first: One version.
        second: The other.
        image: What both are asked about; None: the phantom.

    Raises:
        NotFound: There is no such model or version.
        FailedPrecondition: They are TensorRT plans, which ONNX Runtime cannot run.
    """
    config = require_config(repository, name)
    if config.backend == "tensorrt":
        raise FailedPrecondition(
            f"the versions of {name} are TensorRT plans, which only Triton can run: compare what they were built from, "
            f"or what is kept with them (exporter versions {name} --json)"
        )
    pair = [require_version(repository, name, version) for version in (first, second)]
    records = [read_record(repository, name, version) for version in pair]
    # Both have the same tensors, or they would not be versions of one model.
    spec = records[0].spec
    sample = parity_inputs(spec, image)
    answers = []
    with tempfile.TemporaryDirectory(prefix="sixpoint-diff-") as folder:
        for version in pair:
            place = Path(folder, str(version))
            place.mkdir(exist_ok=True)
            path = fetch_model(repository, config.name, version, place)
            answers.append(np.concatenate([run_onnx(path, spec, one[None]) for one in sample.batch]))
    one, other = (_flat(record.model_dump(mode="json", exclude={"published"})) for record in records)
    fields = {key: (one.get(key), other.get(key)) for key in sorted(one.keys() | other.keys())}
    return VersionDiff(
        fields={key: values for key, values in fields.items() if values[0] != values[1]},
        answers=agreement(answers[0], answers[1], spec, who=f"version {second}"),
        sample=sample.source,
    )


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, by dotted names."""
    if not isinstance(value, dict):
        return {prefix: value}
    parts = (_flat(inner, f"{prefix}.{key}" if prefix else str(key)) for key, inner in value.items())
    return {key: inner for part in parts for key, inner in part.items()}
