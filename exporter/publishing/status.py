"""List the versions of a model with what each does, and find the one that was published of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from exporter.graph.external_data import source_files
from exporter.graph.model_files import sha256_of_files
from exporter.graph.precision import NumericPrecision
from exporter.parity.report import ParityReport
from exporter.publishing.recovery import sweep
from exporter.repository.protocol import ModelRepository
from exporter.repository.record import VersionRecord
from exporter.repository.view import (
    finished_versions,
    read_config,
    read_parity,
    read_record,
    require_config,
    served_versions,
    serving_version,
)
from sixpoint.errors import InvalidArgument

__all__ = ["VersionStatus", "find_published", "list_versions"]

_DIGESTS = ("checkpoint_sha256", "onnx_sha256", "torchscript_sha256")
"""Names in a version's provenance of the SHA-256 of the file that it was exported from."""


class VersionStatus(BaseModel):
    """One version, as ``exporter versions`` lists it.

    Attributes:
        version: Number of the version.
        state: "serving"; "candidate"; "loaded" beside the serving version; "kept" in the repository only; or
            "unfinished", while its publisher works or after it was killed.
        share: Share of sessions that get it.
        record: Record stored with it.
        parity: Parity report stored with it; None if it has none.
    """

    model_config = ConfigDict(frozen=True)

    version: int
    state: Literal["serving", "candidate", "loaded", "kept", "unfinished"]
    share: float
    record: VersionRecord
    parity: ParityReport | None


def list_versions(repository: ModelRepository, name: str) -> list[VersionStatus]:
    """List the versions of a model, oldest first.

    Raises:
        ModelNotFound: The repository has no such model.
    """
    config = require_config(repository, name)
    done = finished_versions(repository, name)
    present, candidate = serving_version(repository, config), config.candidate
    result = []
    for version in repository.versions(name):
        state: Literal["serving", "candidate", "loaded", "kept", "unfinished"] = "kept"
        share = 0.0
        if version not in done:
            state = "unfinished"
        elif version == present:
            state, share = "serving", 1.0 - (candidate.share if candidate else 0.0)
        elif candidate is not None and version == int(candidate.version):
            state, share = "candidate", candidate.share
        elif version in served_versions(repository, config):
            state = "loaded"
        record, parity = read_record(repository, name, version), read_parity(repository, name, version)
        result.append(VersionStatus(version=version, state=state, share=share, record=record, parity=parity))
    return result


def find_published(
    repository: ModelRepository, name: str, source: Path, *, precision: NumericPrecision, wait: float = 300.0
) -> VersionStatus | None:
    """Return the newest version of a model that was exported from a file; None if there is none.

    What a killed publisher left is settled first: a version that serves counts, one that nobody gets does not.

    Args:
        repository: The repository.
        name: Name of the model.
        source: The file.
        precision: Precision that the version must have.
        wait: Seconds to wait for other writers.

    Raises:
        InvalidArgument: The source is no file, so that no version says that it was made of it.
    """
    if not source.is_file():
        raise InvalidArgument(f"--once needs a file, whose SHA-256 versions have, and {source} is none")
    digest = sha256_of_files(source_files(source) if source.suffix == ".onnx" else [source])
    with repository.lock(wait=wait):
        sweep(repository, name)
        listed = list_versions(repository, name) if read_config(repository, name) else []
    for version in reversed(listed):
        provenance = version.record.spec.provenance
        if version.record.precision == precision.value and digest in (provenance.get(key) for key in _DIGESTS):
            return version
    return None
