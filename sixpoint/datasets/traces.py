"""Where annotations went beyond the gateway: exports in folders, and versions in a model repository."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sixpoint.datasets.manifest import MANIFEST, read_manifest
from sixpoint.errors import DatasetError

__all__ = ["TrainedVersion", "exports_with", "versions_trained_on"]

_RECORD = "version.json"
"""Name of the record that the exporter stores with a version."""


@dataclass(frozen=True, order=True)
class TrainedVersion:
    """A version in a model repository that learnt from annotations.

    Attributes:
        model: Name of the model.
        version: Number of the version.
        annotation_count: Number of the annotations that it learnt from, of those that were asked for.
    """

    model: str
    version: int
    annotation_count: int


class _Spec(BaseModel):
    model_config = ConfigDict(extra="ignore")

    provenance: dict[str, str] = Field(default_factory=dict)


class _Record(BaseModel):
    """The part of a version's record that says from which annotations it came."""

    model_config = ConfigDict(extra="ignore")

    spec: _Spec


def exports_with(folder: Path, image_digests: Collection[str]) -> list[Path]:
    """Return the exports in a folder, at any depth, that have one of some images.

    Args:
        folder: Folder to search.
        image_digests: SHA-256 of the images.
    """
    exports = []
    for path in sorted(folder.rglob(MANIFEST)):
        try:
            manifest = read_manifest(path.parent)
        except DatasetError:
            # Another program's file of this name.
            continue
        if any(case.image_digest in image_digests for case in manifest.cases):
            exports.append(path.parent)
    return exports


def versions_trained_on(repository: Path, annotation_digests: Collection[str]) -> list[TrainedVersion]:
    """Return the versions in a model repository that learnt from annotations, whether they serve or not.

    Args:
        repository: Folder of the model repository.
        annotation_digests: SHA-256 of the annotations' masks.

    Raises:
        DatasetError: The record of a version is damaged.
    """
    trained = []
    for path in repository.glob(f"*/*/{_RECORD}"):
        if not path.parent.name.isdecimal():
            continue
        try:
            record = _Record.model_validate_json(path.read_bytes())
        except (OSError, ValidationError):
            raise DatasetError(
                f"{path} cannot be read, so that it is not known what this version learnt from; see exporter validate"
            ) from None
        beginnings = record.spec.provenance.get("annotations", "").split()
        count = sum(any(digest.startswith(each) for each in beginnings) for digest in set(annotation_digests))
        if count:
            trained.append(TrainedVersion(path.parent.parent.name, int(path.parent.name), count))
    return sorted(trained)
