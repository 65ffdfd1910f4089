"""The journal of an export that may be interrupted: which cases its folder has."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from sixpoint.client import AnnotationInfo, DatasetImage
from sixpoint.datasets.manifest import ManifestCase, file_sha256

__all__ = ["ExportJournal"]

_NAME = "export.journal"
_CASE = TypeAdapter(ManifestCase)


class ExportJournal:
    """Notes the cases that were written to the folder of an export; the folder has it until the export is whole.

    Args:
        folder: Folder of the export.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / _NAME
        self._cases: dict[str, ManifestCase] = {}

    @property
    def is_there(self) -> bool:
        """Whether the folder holds an export that was interrupted."""
        return self._path.is_file()

    def open(self, facts: Mapping[str, Any]) -> None:
        """Begin, or go on with what was exported in the same way.

        Args:
            facts: How the dataset is exported, as JSON has it; cases that were written otherwise are written again.
        """
        lines = self._path.read_text().splitlines() if self.is_there else []
        if _parse(lines[0] if lines else "") == facts:
            for line in lines[1:]:
                try:
                    case = _CASE.validate_json(line)
                except ValidationError:
                    # The last line of a process that was killed.
                    continue
                self._cases[case.case_name] = case
        self._folder.mkdir(parents=True, exist_ok=True)
        # Written anew, so that the next line begins a line.
        texts = (json.dumps(facts), *(json.dumps(asdict(case)) for case in self._cases.values()))
        self._path.write_text("".join(f"{text}\n" for text in texts))

    def find(self, image: DatasetImage, annotation: AnnotationInfo, files: Iterable[object]) -> ManifestCase | None:
        """The case of an image whose files are there as they would be written now; None without one.

        Args:
            image: Image of the dataset.
            annotation: Its annotation.
            files: Paths of the case's files from the folder.
        """
        case = self._cases.get(image.case_name)
        if case is None or (case.image_digest, case.split) != (image.digest, image.split):
            return None
        if (case.annotation_id, case.annotation_digest) != (annotation.id, annotation.digest):
            return None
        if {*case.files} != {*map(str, files)}:
            return None
        try:
            same = all(file_sha256(self._folder / name) == sha256 for name, sha256 in case.files.items())
        except OSError:
            return None
        return case if same else None

    def add(self, case: ManifestCase) -> None:
        """Note a case whose files are written."""
        with self._path.open("a") as file:
            file.write(json.dumps(asdict(case)) + "\n")

    def close(self, files: Collection[str]) -> None:
        """Remove the journal, and what an interruption left.

        Args:
            files: Paths, from the folder, of what belongs to the export.
        """
        for path in sorted(self._folder.rglob("*"), reverse=True):
            if path.is_dir() and not path.is_symlink():
                if not any(path.iterdir()):
                    path.rmdir()
            elif path.relative_to(self._folder).as_posix() not in files:
                path.unlink()


def _parse(line: str) -> object:
    try:
        return json.loads(line)
    except ValueError:
        return None
