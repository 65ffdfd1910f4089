"""A model repository in an object store, by obstore: no renames there; what counts is the config, which is put last."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import from_url

from exporter.graph.external_data import MODEL_FILE, PLAN_FILE
from exporter.repository.config import FILE_NAME
from exporter.repository.lease import Lease
from exporter.repository.protocol import Content
from sixpoint.errors import InvalidArgument, NotFound, Unavailable

if TYPE_CHECKING:
    from obstore.store import ObjectStore, RetryConfig

__all__ = ["ObjectStoreRepository"]

_RETRIES: RetryConfig = {"max_retries": 3, "retry_timeout": timedelta(seconds=30)}
_PART_BYTES = 8 * 2**20
_LOCK = ".sixpoint-lock"
# One of them is in every whole version, and the last that is put there.
_FILES = (MODEL_FILE, PLAN_FILE)


class ObjectStoreRepository:
    """A :class:`exporter.repository.protocol.ModelRepository` in an object store.

    Args:
        url: ``s3://bucket/prefix``; credentials are obstore's environment variables (``AWS_...``).
        lease: Seconds after which a lock whose holder gives no sign of life is taken over.

    Raises:
        InvalidArgument: The URL cannot be understood.
    """

    def __init__(self, url: str, *, lease: float = 30.0) -> None:
        try:
            self._store: ObjectStore = from_url(url, retry_config=_RETRIES)
        except (BaseError, ValueError):
            # The URL itself may hold a secret.
            raise InvalidArgument("the repository's URL cannot be understood; expected s3://bucket/prefix") from None
        self._seconds = lease
        self._lease: Lease | None = None

    @contextlib.contextmanager
    def lock(self, *, wait: float) -> Iterator[None]:
        """Hold a lease on the repository, renewed as long as this process lives."""
        with _store_errors(), Lease(self._store, _LOCK, seconds=self._seconds, wait=wait) as self._lease:
            try:
                yield
            finally:
                self._lease = None

    def versions(self, name: str) -> list[int]:
        """The versions of a model, oldest first: those that have a model's file."""
        found = (
            re.fullmatch(rf"{re.escape(name)}/([1-9][0-9]*)/(?:{'|'.join(map(re.escape, _FILES))})", path)
            for path in self._paths(name)
        )
        return sorted({int(match[1]) for match in found if match})

    def read(self, path: str) -> bytes | None:
        """The content of an object; None: there is none."""
        with _store_errors():
            try:
                return bytes(obstore.get(self._store, path).bytes())
            except (NotFoundError, FileNotFoundError):
                return None

    def fetch(self, path: str, target: Path) -> None:
        """Copy an object, in parts, into a file."""
        with _store_errors():
            try:
                size = obstore.head(self._store, path)["size"]
            except (NotFoundError, FileNotFoundError):
                raise NotFound(f"the repository has no {path}") from None
            with target.open("wb") as file:
                for start in range(0, size, _PART_BYTES):
                    end = min(start + _PART_BYTES, size)
                    file.write(obstore.get_range(self._store, path, start=start, end=end))

    def write(self, path: str, content: bytes) -> None:
        """Put an object."""
        self._put(path, content)

    def create(self, name: str, files: Mapping[str, Content]) -> None:
        """Put a model's objects, its config last, and its version's as :meth:`add` does."""
        for path, content in sorted(files.items(), key=lambda item: (item[0] == FILE_NAME, *_turn(item[0]))):
            self._put(f"{name}/{path}", content)

    def add(self, name: str, version: int, files: Mapping[str, Content]) -> None:
        """Put a version's objects; that it is unfinished is said first, and its model's file is the last."""
        for path, content in sorted(files.items(), key=lambda item: _turn(item[0])):
            self._put(f"{name}/{version}/{path}", content)

    def delete(self, path: str) -> None:
        """Delete an object."""
        self._check_lock()
        with _store_errors(), contextlib.suppress(NotFoundError, FileNotFoundError):
            obstore.delete(self._store, path)

    def drop(self, name: str, version: int | None = None) -> None:
        """Delete a version's objects, of which its model's file goes first, or a model's, of which the config does."""
        prefix = name if version is None else f"{name}/{version}"
        order = {FILE_NAME: 0, **dict.fromkeys(_FILES, 1)}
        for path in sorted(self._paths(prefix), key=lambda path: order.get(path.rpartition("/")[2], 2)):
            self.delete(path)

    def sweep(self, name: str) -> None:
        """Delete versions of which the upload was cut off: they have no model's file."""
        whole = set(self.versions(name))
        for path in self._paths(name):
            part = path.removeprefix(f"{name}/").partition("/")
            if part[2] and part[0].isdecimal() and int(part[0]) not in whole:
                self.delete(path)

    def _paths(self, prefix: str) -> list[str]:
        with _store_errors():
            return [entry["path"] for page in obstore.list(self._store, prefix=prefix) for entry in page]

    def _put(self, path: str, content: Content) -> None:
        self._check_lock()
        with _store_errors():
            obstore.put(self._store, path, content, chunk_size=_PART_BYTES)

    def _check_lock(self) -> None:
        """Refuse to change what another holds by now."""
        if self._lease is not None:
            self._lease.check()


def _turn(path: str) -> tuple[bool, str]:
    """When a version's object is put: its mark, which is hidden, first; its model's file last."""
    return path.rpartition("/")[2] in _FILES, path


@contextlib.contextmanager
def _store_errors() -> Iterator[None]:
    try:
        yield
    except (NotFoundError, FileNotFoundError):
        raise
    except BaseError as error:
        # Its own words name keys and addresses.
        raise Unavailable(f"the object store cannot be used ({type(error).__name__}); try again") from None
