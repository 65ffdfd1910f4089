"""Read the state of a model from its repository: config, serving version, records of its versions."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from exporter.graph.external_data import external_file_names
from exporter.graph.model_files import DATA_FILE, MODEL_FILE, model_files
from exporter.parity.report import ParityReport
from exporter.repository.card import VersionFacts
from exporter.repository.config import FILE_NAME, ModelConfig
from exporter.repository.protocol import UNFINISHED, ModelRepository
from exporter.repository.record import PARITY_FILE, RECORD_FILE, REPLACED_FILE, Replaced, VersionRecord
from sixpoint.errors import FailedPrecondition, ModelNotFound, NotFound
from sixpoint.model_spec import ModelSpec

__all__ = [
    "fetch_model",
    "finished_versions",
    "read_config",
    "read_parity",
    "read_record",
    "read_replaced",
    "require_config",
    "require_version",
    "served_versions",
    "serving_version",
]


def read_config(repository: ModelRepository, name: str) -> ModelConfig | None:
    """Return a model's config; None if the repository has no such model."""
    content = repository.read(f"{name}/{FILE_NAME}")
    return None if content is None else ModelConfig.from_text(content.decode())


def require_config(repository: ModelRepository, name: str) -> ModelConfig:
    """Return the config of a model that must exist.

    Raises:
        ModelNotFound: The repository has no such model.
        FailedPrecondition: The model is not one of sixpoint.
    """
    config = read_config(repository, name)
    if config is None:
        raise ModelNotFound(f"the repository {repository.address} has no model {name!r}")
    if config.spec is None:
        raise FailedPrecondition(f"{name} in {repository.address} is not a model of sixpoint: its config has no spec")
    return config


def finished_versions(repository: ModelRepository, name: str) -> list[int]:
    """Return the versions that were published completely, oldest first."""
    return [
        version for version in repository.versions(name) if repository.read(f"{name}/{version}/{UNFINISHED}") is None
    ]


def require_version(repository: ModelRepository, name: str, version: int) -> int:
    """Return the number of a version that must exist.

    Raises:
        NotFound: The model has no such finished version.
    """
    finished = finished_versions(repository, name)
    if version not in finished:
        versions = ", ".join(map(str, finished)) or "none"
        raise NotFound(f"{name} has no version {version} in {repository.address}, only: {versions}")
    return version


def serving_version(repository: ModelRepository, config: ModelConfig) -> int | None:
    """Return the version that sessions get: the newest served one that is not on trial; None if there is none."""
    served = config.served or tuple(repository.versions(config.name))
    candidate = int(config.candidate.version) if config.candidate else None
    return max((version for version in served if version != candidate), default=None)


def served_versions(repository: ModelRepository, config: ModelConfig) -> tuple[int, ...]:
    """Return the versions that Triton loads: those that the config names, or the newest ones."""
    return config.served or tuple(repository.versions(config.name)[-config.versions :])


def read_record(repository: ModelRepository, name: str, version: int) -> VersionRecord:
    """Return a version's record, or one made from its model's file if it has none.

    Raises:
        NotFound: The version does not exist.
        FailedPrecondition: The record is damaged.
    """
    content = repository.read(f"{name}/{version}/{RECORD_FILE}")
    if content is not None:
        return VersionRecord.from_json(content)
    with tempfile.TemporaryDirectory(prefix="sixpoint-record-") as folder:
        path = fetch_model(repository, name, version, Path(folder))
        facts, size = VersionFacts.of_file(path), sum(file.stat().st_size for file in model_files(path))
    spec: ModelSpec | None = require_config(repository, name).spec
    assert spec is not None
    unknown = datetime.fromtimestamp(0, UTC)
    return VersionRecord(
        published=unknown, sha256=facts.sha256, size=size, precision=facts.precision, tools=facts.tools, spec=spec
    )


def fetch_model(repository: ModelRepository, name: str, version: int, folder: Path) -> Path:
    """Copy a version's ONNX file, and its weights file if it has one, into a folder.

    Returns:
        Path of the ONNX file.

    Raises:
        NotFound: A file is missing.
        InvalidArgument: The file is not an ONNX model, or its weights lie outside its folder.
    """
    path = folder / MODEL_FILE
    repository.fetch(f"{name}/{version}/{MODEL_FILE}", path)
    if DATA_FILE in external_file_names(path):
        repository.fetch(f"{name}/{version}/{DATA_FILE}", folder / DATA_FILE)
    return path


def read_parity(repository: ModelRepository, name: str, version: int) -> ParityReport | None:
    """Return the parity report of a version; None if it has none.

    Raises:
        FailedPrecondition: The report is damaged.
    """
    content = repository.read(f"{name}/{version}/{PARITY_FILE}")
    try:
        return None if content is None else ParityReport.model_validate_json(content)
    except ValidationError as error:
        raise FailedPrecondition(f"{PARITY_FILE} is damaged: {error.errors()[0]['msg']}") from error


def read_replaced(repository: ModelRepository, name: str, version: int) -> int | None:
    """Return the version that served before this one came to serve; None if none did or none was recorded.

    Raises:
        FailedPrecondition: The record of it is damaged.
    """
    content = repository.read(f"{name}/{version}/{REPLACED_FILE}")
    try:
        return None if content is None else Replaced.model_validate_json(content).version
    except ValidationError as error:
        raise FailedPrecondition(
            f"{REPLACED_FILE} of version {version} of {name} is damaged: name the version to serve (--to)"
        ) from error
