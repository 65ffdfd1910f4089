"""A model repository in a folder. Files are written under a hidden name, flushed to disk and renamed."""

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
    """A :class:`exporter.repository.protocol.ModelRepository` in a folder.

    Args:
        folder: The folder; created on first use.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def address(self) -> str:
        """Absolute path of the folder."""
        return str(self.folder.absolute())

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
                        f"another exporter is writing to {self.address}: try again when it is done (--wait)"
                    )
                time.sleep(_POLL_SECONDS)
            yield
        finally:
            os.close(descriptor)

    def versions(self, name: str) -> list[int]:
        """Return the versions of a model, oldest first."""
        folder = self.folder / name
        return version_numbers(folder) if folder.is_dir() else []

    def read(self, path: str) -> bytes | None:
        """Return the content of a file; None if it does not exist."""
        try:
            return (self.folder / path).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def fetch(self, path: str, target: Path) -> None:
        """Copy a file out of the repository."""
        try:
            shutil.copyfile(self.folder / path, target)
        except FileNotFoundError as error:
            raise NotFound(f"the repository {self.address} has no {path}") from error

    def write(self, path: str, content: bytes) -> None:
        """Create or replace a file by one rename."""
        target = self.folder / path
        write_file(target, content, temporary=target.with_name(temporary_name()))

    def create(self, name: str, files: Mapping[str, Content]) -> None:
        """Create a model by one rename of its whole folder."""
        folder = self.folder / name
        if folder.exists() and any(folder.iterdir()):
            raise FailedPrecondition(
                f"{folder} exists but is not a model, for it has no {FILE_NAME}: delete it or use another --name"
            )
        self._place(folder, files)

    def add(self, name: str, version: int, files: Mapping[str, Content]) -> None:
        """Add a version by one rename of its folder."""
        self._place(self.folder / name / str(version), files)

    def delete(self, path: str) -> None:
        """Delete a file."""
        target = self.folder / path
        target.unlink(missing_ok=True)
        if target.parent.is_dir():
            flush(target.parent)

    def drop(self, name: str, version: int | None = None) -> None:
        """Delete a version's or model's folder; renamed first, so that it is never half deleted under its name."""
        folder = self.folder / name if version is None else self.folder / name / str(version)
        hidden = folder.with_name(temporary_name())
        folder.rename(hidden)
        flush(folder.parent)
        shutil.rmtree(hidden)

    def sweep(self, name: str) -> None:
        """Delete hidden files that killed writers left in the repository and the model."""
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
