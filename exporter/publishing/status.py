"""List the versions of a model with what each does."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from exporter.parity.report import ParityReport
from exporter.repository.protocol import ModelRepository
from exporter.repository.record import VersionRecord
from exporter.repository.view import (
    finished_versions,
    read_parity,
    read_record,
    require_config,
    served_versions,
    serving_version,
)

__all__ = ["VersionStatus", "list_versions"]


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
