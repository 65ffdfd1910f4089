"""The manifest of an export: from which annotations it came, and the SHA-256 of each file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from sixpoint.errors import DatasetError
from sixpoint.io.atomic_files import write_file

__all__ = [
    "MANIFEST",
    "Manifest",
    "ManifestCase",
    "file_sha256",
    "json_bytes",
    "read_manifest",
    "verify_manifest",
    "write_manifest",
]

MANIFEST = "manifest.json"
"""Name of the manifest within the folder."""
_BLOCK = 2**20


@dataclass(frozen=True)
class ManifestCase:
    """A case of an export.

    Attributes:
        case_name: Name of the case.
        split: "training", "validation" or "test".
        image_digest: SHA-256 of the image on the gateway.
        annotation_id: Id of the annotation.
        annotation_version: Number of the annotation among those of its image.
        annotation_digest: SHA-256 of the annotation's masks.
        files: SHA-256 of each file of the case, by its path from the folder.
    """

    case_name: str
    split: str
    image_digest: str
    annotation_id: str
    annotation_version: int
    annotation_digest: str
    files: dict[str, str]


@dataclass(frozen=True)
class Manifest:
    """The manifest of an export.

    Attributes:
        dataset: Name of the dataset.
        layout: Layout of the folder.
        modality: Modality of the images.
        labels: Number of each label in the label maps by its name.
        state: State of the annotations that were exported.
        cases: The cases by name.
    """

    dataset: str
    layout: str
    modality: str
    labels: dict[str, int]
    state: str
    cases: list[ManifestCase]


_ADAPTER = TypeAdapter(Manifest)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, lower-case hex."""
    whole = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            whole.update(block)
    return whole.hexdigest()


def json_bytes(value: object) -> bytes:
    """Return a value as JSON that people can read."""
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()


def write_manifest(manifest: Manifest, folder: Path) -> None:
    """Write the manifest of a folder."""
    write_file(folder / MANIFEST, json_bytes(asdict(manifest)))


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a folder.

    Raises:
        DatasetError: There is none, or it is damaged.
    """
    try:
        return _ADAPTER.validate_json((folder / MANIFEST).read_bytes())
    except OSError:
        raise DatasetError(
            f"{folder} has no {MANIFEST}; expected a folder that sixpoint dataset export wrote"
        ) from None
    except ValidationError:
        raise DatasetError(f"{folder / MANIFEST} is damaged; export the dataset again") from None


def verify_manifest(folder: Path, *, progress: Callable[[int, int], None] = lambda *_: None) -> list[str]:
    """Compare the files of an export with its manifest.

    Args:
        folder: Folder of the export.
        progress: Called with the number of cases so far and in all.

    Returns:
        One sentence for each difference; empty if all files are as they were exported.

    Raises:
        DatasetError: There is no manifest, or it is damaged.
    """
    manifest = read_manifest(folder)
    differences: list[str] = []
    for number, case in enumerate(manifest.cases, 1):
        for name, sha256 in case.files.items():
            path = folder / name
            if not path.resolve().is_relative_to(folder.resolve()):
                raise DatasetError(f"{folder / MANIFEST} names a file outside of the folder")
            if not path.is_file():
                differences.append(f"{name} is missing")
            elif file_sha256(path) != sha256:
                differences.append(f"{name} has changed since the export")
        progress(number, len(manifest.cases))
    return differences
