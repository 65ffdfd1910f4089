"""A model repository in an object store. Objects cannot be renamed: the config, which decides, is put last."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from exporter.graph.model_files import MODEL_FILE, PLAN_FILE
from exporter.repository.config import FILE_NAME
from exporter.repository.lease import Lease
from exporter.repository.protocol import Content
from sixpoint.errors import InvalidArgument, NotFound, Unavailable
from sixpoint.io.object_store import Objects

__all__ = ["ObjectStoreRepository"]

_LOCK = ".sixpoint-lock"
# Every complete version has one of these; it is put last.
_FILES = (MODEL_FILE, PLAN_FILE)


class ObjectStoreRepository:
    """A :class:`exporter.repository.protocol.ModelRepository` in an object store.

    Args:
        url: ``s3://bucket/prefix``; credentials are obstore's environment variables (``AWS_...``).
        lease: Seconds after which a lock that its holder does not renew may be taken over.

    Raises:
        InvalidArgument: The URL cannot be parsed.
    """

    def __init__(self, url: str, *, lease: float = 30.0) -> None:
        try:
            self._objects = Objects(url, unavailable=_unavailable)
        except ValueError:
            # Without the URL, which may hold a secret.
            raise InvalidArgument("the repository's URL cannot be parsed, expected s3://bucket/prefix") from None
        self._url = url
        self._seconds = lease
        self._lease: Lease | None = None

    @property
    def address(self) -> str:
        """The URL without user, password and query, which may hold a secret."""
        parts = urlsplit(self._url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    @contextlib.contextmanager
    def lock(self, *, wait: float) -> Iterator[None]:
        """Hold a lease on the repository, which this process renews."""
        with contextlib.ExitStack() as stack:
            with self._objects.errors():
                lease = Lease(self._objects.store, _LOCK, seconds=self._seconds, wait=wait)
                self._lease = stack.enter_context(lease)
            try:
                yield
            finally:
                self._lease = None

    def versions(self, name: str) -> list[int]:
        """Return the versions of a model that have a model file, oldest first."""
        matches = (
            re.fullmatch(rf"{re.escape(name)}/([1-9][0-9]*)/(?:{'|'.join(map(re.escape, _FILES))})", path)
            for path in list(self._objects.keys(name))
        )
        return sorted({int(match[1]) for match in matches if match})

    def read(self, path: str) -> bytes | None:
        """Return the content of an object; None if it does not exist."""
        try:
            return self._objects.read(path)
        except NotFound:
            return None

    def fetch(self, path: str, target: Path) -> None:
        """Download an object to a file, in parts."""
        try:
            size = self._objects.size(path)
        except NotFound:
            raise NotFound(f"the repository {self.address} has no {path}") from None
        with target.open("wb") as file:
            self._objects.download(path, file, size=size)

    def write(self, path: str, content: bytes) -> None:
        """Put an object."""
        self._put(path, content)

    def create(self, name: str, files: Mapping[str, Content]) -> None:
        """Put a model's objects: its version in the order of :meth:`add`, then its config."""
        for path, content in sorted(files.items(), key=lambda item: (item[0] == FILE_NAME, *_put_order(item[0]))):
            self._put(f"{name}/{path}", content)

    def add(self, name: str, version: int, files: Mapping[str, Content]) -> None:
        """Put a version's objects: the mark of unfinished versions first, the model file last."""
        for path, content in sorted(files.items(), key=lambda item: _put_order(item[0])):
            self._put(f"{name}/{version}/{path}", content)

    def delete(self, path: str) -> None:
        """Delete an object."""
        self._check_lock()
        with contextlib.suppress(NotFound):
            self._objects.delete(path)

    def drop(self, name: str, version: int | None = None) -> None:
        """Delete a version's objects, its model file first; or a model's, its config first."""
        prefix = name if version is None else f"{name}/{version}"
        order = {FILE_NAME: 0, **dict.fromkeys(_FILES, 1)}
        for path in sorted(self._objects.keys(prefix), key=lambda path: order.get(path.rpartition("/")[2], 2)):
            self.delete(path)

    def sweep(self, name: str) -> None:
        """Delete versions whose upload was interrupted: they have no model file."""
        complete = set(self.versions(name))
        for path in list(self._objects.keys(name)):
            part = path.removeprefix(f"{name}/").partition("/")
            if part[2] and part[0].isdecimal() and int(part[0]) not in complete:
                self.delete(path)

    def _put(self, path: str, content: Content) -> None:
        self._check_lock()
        self._objects.put(path, content)

    def _check_lock(self) -> None:
        """Check that no other writer has taken the lock."""
        if self._lease is not None:
            self._lease.check()


def _put_order(path: str) -> tuple[bool, str]:
    """Return the sort key of a version's object: its mark first, as a hidden name, and its model file last."""
    return path.rpartition("/")[2] in _FILES, path


def _unavailable(kind: str) -> Unavailable:
    return Unavailable(f"the object store cannot be used ({kind}); try again")
