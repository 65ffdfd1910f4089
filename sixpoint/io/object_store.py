"""Objects in S3, Google Cloud Storage and Azure, through obstore.

obstore comes with the gateway and the exporter, not with the client: nothing that ``import sixpoint`` loads may import
this module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import obstore
from obstore.exceptions import BaseError, NotFoundError
from obstore.store import from_url

from sixpoint.errors import NotFound

if TYPE_CHECKING:
    from obstore.store import ObjectStore, RetryConfig

__all__ = ["Objects"]

_RETRIES: RetryConfig = {"max_retries": 3, "retry_timeout": timedelta(seconds=30)}
# Size of a part of an upload or a download. An upload has at most 10,000 parts: 80 GB.
_PART_BYTES = 8 * 2**20


class Objects:
    """Objects by key, under the prefix of a URL. All methods block.

    Args:
        url: ``s3://bucket/prefix``, ``gs://bucket/prefix`` or ``az://container/prefix``; credentials are the
            environment variables of obstore (``AWS_...``, ``GOOGLE_...``, ``AZURE_...``).
        unavailable: Makes the error to raise when the store cannot be used, from the name of obstore's error. Its
            message is left out, as it holds keys and addresses.

    Attributes:
        store: The store, for what else obstore offers.

    Raises:
        ValueError: obstore does not understand the URL. The message does not repeat it, as it may hold a secret.
    """

    def __init__(self, url: str, *, unavailable: Callable[[str], Exception]) -> None:
        self._unavailable = unavailable
        try:
            self.store: ObjectStore = from_url(url, retry_config=_RETRIES)
        except (BaseError, ValueError):
            raise ValueError("not the URL of an object store") from None

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Translate the errors of obstore.

        Raises:
            NotFound: There is no such object, or no such bucket.
            Exception: The error made by ``unavailable``.
        """
        try:
            yield
        except (NotFoundError, FileNotFoundError):
            # Which of the two obstore raises depends on the call.
            raise NotFound("the object store has no such object, or no such bucket") from None
        except BaseError as error:
            raise self._unavailable(type(error).__name__) from None

    def size(self, key: str) -> int:
        """Size of an object in bytes."""
        with self.errors():
            return obstore.head(self.store, key)["size"]

    def read(self, key: str) -> bytes:
        """The content of a small object."""
        with self.errors():
            return bytes(obstore.get(self.store, key).bytes())

    def download(self, key: str, file: BinaryIO, *, size: int) -> None:
        """Write the first ``size`` bytes of an object to a file."""
        # Each part is a request of its own: obstore's deadline of 30 s is for a whole request.
        for start in range(0, size, _PART_BYTES):
            with self.errors():
                part = obstore.get_range(self.store, key, start=start, end=min(start + _PART_BYTES, size))
            file.write(part)

    def put(self, key: str, content: bytes | Path, *, concurrency: int = 12) -> None:
        """Store an object, in place of the one of this key: whole or not at all.

        Args:
            key: Key of the object.
            content: Content of the object, or the file that holds it.
            concurrency: Number of parts in memory, and under way, at once.
        """
        with self.errors():
            obstore.put(self.store, key, content, chunk_size=_PART_BYTES, max_concurrency=concurrency)

    def delete(self, key: str) -> None:
        """Delete an object; whether a missing one is a NotFound depends on the store."""
        with self.errors():
            obstore.delete(self.store, key)

    def keys(self, prefix: str = "") -> Iterator[str]:
        """The keys of all objects under a prefix."""
        with self.errors():
            for page in obstore.list(self.store, prefix=prefix or None):
                for entry in page:
                    yield entry["path"]
