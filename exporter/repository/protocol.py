"""A model repository as publishing sees it: a folder, or a prefix in an object store.

What Triton serves is said by one small file, the model's config: it names the versions served. A version is written
first, whole, and becomes served when the config that names it takes the place of the old one in a single step. So a
repository is valid at every moment, whenever its writer is killed.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

__all__ = ["UNFINISHED", "Content", "ModelRepository"]

Content = Path | bytes
"""A file to copy, or what is to be in it."""

UNFINISHED = ".unfinished"
"""A file in a version's folder: it is being published, or was when the publisher was killed."""


class ModelRepository(Protocol):
    """A model repository. Paths are relative to it, with slashes: ``liver/3/model.onnx``. All of it blocks."""

    def lock(self, *, wait: float) -> AbstractContextManager[None]:
        """Keep other writers out; it ends with the process, however that ends.

        Raises:
            FailedPrecondition: Another writer still held it after ``wait`` seconds.
        """

    def versions(self, name: str) -> list[int]:
        """The versions of a model, oldest first; none, of a model that is not there."""

    def read(self, path: str) -> bytes | None:
        """The content of a small file; None: there is none."""

    def fetch(self, path: str, target: Path) -> None:
        """Copy a file out of the repository.

        Raises:
            NotFound: There is none.
        """

    def write(self, path: str, content: bytes) -> None:
        """Put a small file in its place, all of it at once; a file of this name is replaced."""

    def create(self, name: str, files: Mapping[str, Content]) -> None:
        """Make a model of its files, paths within its folder; its config comes last.

        Raises:
            FailedPrecondition: Something that is no model is in the way.
        """

    def add(self, name: str, version: int, files: Mapping[str, Content]) -> None:
        """Add a version of its files."""

    def delete(self, path: str) -> None:
        """Delete one file, if it is there."""

    def drop(self, name: str, version: int | None = None) -> None:
        """Delete a version, or the whole model."""

    def sweep(self, name: str) -> None:
        """Delete what writers that were killed left aside; only under the lock."""
