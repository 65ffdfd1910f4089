"""The interface of a model repository, which lies in a folder or in an object store.

One small file, the model's config, names the versions that Triton serves. A version is written completely first; it is
served once a config that names it replaces the old one in a single step. So a repository is valid at every moment, even
if its writer is killed.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

__all__ = ["UNFINISHED", "Content", "ModelRepository"]

Content = Path | bytes
"""Content of a file: a file to copy, or bytes."""

UNFINISHED = ".unfinished"
"""File in the folder of a version that is being published, or whose publisher was killed."""


class ModelRepository(Protocol):
    """A model repository with blocking calls. Paths are relative to it, with slashes: ``liver/3/model.onnx``."""

    @property
    def address(self) -> str:
        """Where the repository is, for messages: its absolute path, or its URL without credentials."""

    def lock(self, *, wait: float) -> AbstractContextManager[None]:
        """Hold the repository's lock, which other writers wait for. It is released when the process ends.

        Args:
            wait: Seconds to wait for another writer.

        Raises:
            FailedPrecondition: Another writer holds the lock after ``wait`` seconds.
        """

    def versions(self, name: str) -> list[int]:
        """Return the versions of a model, oldest first; empty if the model does not exist."""

    def read(self, path: str) -> bytes | None:
        """Return the content of a small file; None if it does not exist."""

    def fetch(self, path: str, target: Path) -> None:
        """Copy a file out of the repository.

        Raises:
            NotFound: The file does not exist.
        """

    def write(self, path: str, content: bytes) -> None:
        """Create or replace a small file in one step."""

    def create(self, name: str, files: Mapping[str, Content]) -> None:
        """Create a model; its config is written last.

        Args:
            name: Name of the model.
            files: Files by their path in the model's folder.

        Raises:
            FailedPrecondition: The name is taken by something that is not a model.
        """

    def add(self, name: str, version: int, files: Mapping[str, Content]) -> None:
        """Add a version to a model.

        Args:
            name: Name of the model.
            version: Number of the version.
            files: Files by their name.
        """

    def delete(self, path: str) -> None:
        """Delete a file if it exists."""

    def drop(self, name: str, version: int | None = None) -> None:
        """Delete a version, or without one the whole model."""

    def sweep(self, name: str) -> None:
        """Delete unfinished files of killed writers. Needs the lock."""
