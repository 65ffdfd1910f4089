"""What a repository says of a model: its config, which version serves, what is kept with each."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from exporter.graph.external_data import DATA_FILE, MODEL_FILE, external_file_names, model_files
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
    "serving_version",
]


def read_config(repository: ModelRepository, name: str) -> ModelConfig | None:
    """A model's config; None: there is no such model."""
    content = repository.read(f"{name}/{FILE_NAME}")
    return None if content is None else ModelConfig.from_text(content.decode())


def require_config(repository: ModelRepository, name: str) -> ModelConfig:
    """A model's config.

    Raises:
        ModelNotFound: There is no such model.
        FailedPrecondition: It is none of sixpoint's.
    """
    config = read_config(repository, name)
    if config is None:
        raise ModelNotFound(f"the repository has no model {name!r}")
    if config.spec is None:
        raise FailedPrecondition(f"{name} is not a model of sixpoint: its config has no spec")
    return config


def finished_versions(repository: ModelRepository, name: str) -> list[int]:
    """The versions whose publishing came to its end, oldest first."""
    return [one for one in repository.versions(name) if repository.read(f"{name}/{one}/{UNFINISHED}") is None]


def require_version(repository: ModelRepository, name: str, version: int) -> int:
    """The version, if it is there.

    Raises:
        NotFound: Naming those that there are.
    """
    known = finished_versions(repository, name)
    if version not in known:
        there = ", ".join(map(str, known)) or "none"
        raise NotFound(f"{name} has no version {version}; there are: {there}")
    return version


def serving_version(repository: ModelRepository, config: ModelConfig) -> int | None:
    """The version that sessions are given: the newest served one that is not on trial; None: there is none."""
    served = config.served or tuple(repository.versions(config.name))
    tried = int(config.candidate.version) if config.candidate else None
    return max((version for version in served if version != tried), default=None)


def read_record(repository: ModelRepository, name: str, version: int) -> VersionRecord:
    """What is kept with a version; of one that was exported, not published, what its file says of itself.

    Raises:
        NotFound: There is no such version.
        FailedPrecondition: What is kept is damaged.
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
    """Copy a version's ONNX file, and the file with its weights where there is one, into a folder.

    Returns:
        The ONNX file.

    Raises:
        NotFound: One of them is not there.
        InvalidArgument: The first is no ONNX file, or its weights lie elsewhere.
    """
    path = folder / MODEL_FILE
    repository.fetch(f"{name}/{version}/{MODEL_FILE}", path)
    if DATA_FILE in external_file_names(path):
        repository.fetch(f"{name}/{version}/{DATA_FILE}", folder / DATA_FILE)
    return path


def read_parity(repository: ModelRepository, name: str, version: int) -> ParityReport | None:
    """The parity report that is kept with a version; None: there is none.

    Raises:
        FailedPrecondition: It is damaged.
    """
    content = repository.read(f"{name}/{version}/{PARITY_FILE}")
    try:
        return None if content is None else ParityReport.model_validate_json(content)
    except ValidationError as error:
        raise FailedPrecondition(f"{PARITY_FILE} is damaged: {error.errors()[0]['msg']}") from error


def read_replaced(repository: ModelRepository, name: str, version: int) -> int | None:
    """The version that served until this one came to serve; None: there was none, or nothing was kept of it.

    Raises:
        FailedPrecondition: What is kept is damaged.
    """
    content = repository.read(f"{name}/{version}/{REPLACED_FILE}")
    try:
        return None if content is None else Replaced.model_validate_json(content).version
    except ValidationError as error:
        raise FailedPrecondition(
            f"{REPLACED_FILE} of version {version} of {name} is damaged: say which version is to serve (--to)"
        ) from error
