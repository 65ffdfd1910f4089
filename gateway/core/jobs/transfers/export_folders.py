"""The folder of an export: written under a hidden name beside its own, and renamed when it is whole."""

from __future__ import annotations

import contextlib
import re
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sixpoint.datasets import Manifest, read_manifest, verify_manifest
from sixpoint.errors import Aborted, DatasetError, FailedPrecondition
from sixpoint.io.atomic_files import flush_tree, move_into_place

__all__ = ["ExportFolder", "unfinished_jobs"]

_UNFINISHED = re.compile(r"\.[A-Za-z0-9][A-Za-z0-9_.-]*\.([a-z0-9]+)\.[0-9a-f]{16}")


@dataclass(frozen=True)
class ExportFolder:
    """The folder of an export.

    Attributes:
        target: Path of the whole export.
        job_id: Id of the job that writes it.
    """

    target: Path
    job_id: str

    def take(self) -> Path:
        """The folder in which the job writes, with what it has written before.

        It gets another name each time: a worker that was taken for dead, and is not, cannot write there any more.
        """
        new = self.target.with_name(f".{self.target.name}.{self.job_id}.{secrets.token_hex(8)}")
        taken = False
        for path in self._unfinished():
            if taken:
                shutil.rmtree(path, ignore_errors=True)
                continue
            with contextlib.suppress(FileNotFoundError):
                path.rename(new)
                taken = True
        new.mkdir(exist_ok=True)
        return new

    def drop(self) -> None:
        """Remove what the job has written of an export that is not whole."""
        for path in self._unfinished():
            shutil.rmtree(path, ignore_errors=True)

    def check(self, dataset: str, *, layout: str, modality: str, state: str) -> None:
        """Refuse to export to a folder that has another export.

        Raises:
            FailedPrecondition: There is something of this name which this export cannot be.
        """
        manifest = self._manifest()
        if manifest and (manifest.dataset, manifest.layout, manifest.modality, manifest.state) != (
            dataset,
            layout,
            modality,
            state,
        ):
            raise self._taken("it has another dataset, layout, modality or state")

    def finish(self, written: Path) -> bool:
        """Give a whole export its name, unless the same is there already; return whether it is new.

        Raises:
            FailedPrecondition: There is another export of this name.
            Aborted: Another worker has the job meanwhile.
        """
        whole = read_manifest(written)
        if not all((written / name).is_file() for case in whole.cases for name in case.files):
            raise Aborted("another worker has this export")
        flush_tree(written)
        if self._manifest() is None:
            try:
                # An empty folder is replaced, and no other.
                move_into_place(written, self.target)
            except OSError:
                if self._manifest() is None:
                    raise
            else:
                return True
        if self._manifest() != whole:
            raise self._taken("the dataset has changed since, or other labels or images were chosen")
        if differences := verify_manifest(self.target):
            raise self._taken(f"its files are not as they were exported: {differences[0]}")
        shutil.rmtree(written)
        return False

    def _manifest(self) -> Manifest | None:
        if not self.target.exists() or (self.target.is_dir() and not any(self.target.iterdir())):
            return None
        try:
            return read_manifest(self.target)
        except DatasetError:
            raise self._taken("it is no export, or a damaged one") from None

    def _taken(self, why: str) -> FailedPrecondition:
        return FailedPrecondition(
            f"there is an export {self.target.name} already, and {why}; choose another name, or have the folder removed"
        )

    def _unfinished(self) -> Iterator[Path]:
        for path, job_id in unfinished_jobs(self.target.parent):
            if job_id == self.job_id:
                yield path


def unfinished_jobs(folder: Path) -> list[tuple[Path, str]]:
    """The exports in a folder that are not whole, each with the id of its job."""
    found = ((path, _UNFINISHED.fullmatch(path.name)) for path in folder.iterdir())
    return [(path, match[1]) for path, match in found if match]
