"""A model repository in a folder: written aside under a hidden name, flushed to the disk, renamed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from exporter.repository.config import FILE_NAME
from exporter.repository.layout import remove_leftovers, temporary_name, version_numbers
from exporter.repository.protocol import Content
from sixpoint.errors import FailedPrecondition, NotFound
from sixpoint.io.atomic_files import flush, flush_tree, move_into_place, write_file

__all__ = ["FolderRepository"]

_POLL_SECONDS = 0.1


class FolderRepository:
    """A :class:`exporter.repository.protocol.ModelRepository` in a folder, which is made where there is none."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextlib.contextmanager
    def lock(self, *, wait: float) -> Iterator[None]:
        """Hold the folder's lock, which the kernel releases when the process ends."""
        self.folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            end = time.monotonic() + wait
            while not _locked(descriptor):
                if time.monotonic() >= end:
                    raise FailedPrecondition(
                        f"another exporter is writing to {self.folder}: try again when it is done (--wait)"
                    )
                time.sleep(_POLL_SECONDS)
            yield
        finally:
            os.close(descriptor)

    def versions(self, name: str) -> list[int]:
        """The versions of a model, oldest first."""
        folder = self.folder / name
        return version_numbers(folder) if folder.is_dir() else []

    def read(self, path: str) -> bytes | None:
        """The content of a file; None: there is none."""
        try:
            return (self.folder / path).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def fetch(self, path: str, target: Path) -> None:
        """Copy a file out of the repository."""
        try:
            shutil.copyfile(self.folder / path, target)
        except FileNotFoundError as error:
            raise NotFound(f"the repository has no {path}") from error

    def write(self, path: str, content: bytes) -> None:
        """Replace a file by one rename."""
        target = self.folder / path
        write_file(target, content, temporary=target.with_name(temporary_name()))

    def create(self, name: str, files: Mapping[str, Content]) -> None:
        """Make a model: one rename of its whole folder."""
        folder = self.folder / name
        if folder.exists() and any(folder.iterdir()):
            raise FailedPrecondition(f"{folder} is in the way: it is no model, for it has no {FILE_NAME}")
        self._place(folder, files)

    def add(self, name: str, version: int, files: Mapping[str, Content]) -> None:
        """Add a version: one rename of its folder."""
        self._place(self.folder / name / str(version), files)

    def delete(self, path: str) -> None:
        """Delete a file."""
        target = self.folder / path
        target.unlink(missing_ok=True)
        if target.parent.is_dir():
            flush(target.parent)

    def drop(self, name: str, version: int | None = None) -> None:
        """Delete a folder: put aside by one rename first, so that half of it is never in its place."""
        folder = self.folder / name if version is None else self.folder / name / str(version)
        aside = folder.with_name(temporary_name())
        folder.rename(aside)
        flush(folder.parent)
        shutil.rmtree(aside)

    def sweep(self, name: str) -> None:
        """Delete what lies aside, under the repository and the model."""
        folder = self.folder / name
        remove_leftovers(self.folder, folder, *(folder / str(version) for version in self.versions(name)))

    def _place(self, folder: Path, files: Mapping[str, Content]) -> None:
        staging = folder.with_name(temporary_name())
        staging.mkdir()
        for path, content in files.items():
            target = staging / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                target.write_bytes(content)
            else:
                shutil.copyfile(content, target)
        flush_tree(staging)
        move_into_place(staging, folder)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
