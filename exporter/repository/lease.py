"""A lock in an object store that expires when its holder crashes: an object that the holder renews.

The lock is created by a conditional put that fails if it exists, and taken over by one that fails if it has changed, so
that only one of several contenders wins. No clocks are compared across machines: a contender waits until the object has
stayed the same for the length of the lease by its own clock.
"""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from types import TracebackType
from typing import TYPE_CHECKING, Self

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError, PreconditionError

from sixpoint.errors import Aborted, FailedPrecondition

if TYPE_CHECKING:
    from obstore import UpdateVersion
    from obstore.store import ObjectStore

__all__ = ["Lease"]


class Lease:
    """The lock, as a context manager.

    Args:
        store: Object store of the lock; it must support conditional puts (S3 has since 2024).
        key: Key of the lock's object.
        seconds: Seconds after which a lock that is not renewed may be taken over.
        wait: Seconds to wait for another holder, in addition to the time that a stale lock takes to expire.

    Raises:
        FailedPrecondition: On entering, another holder kept renewing the lock.
    """

    def __init__(self, store: ObjectStore, key: str, *, seconds: float, wait: float) -> None:
        self._store, self._key, self._seconds, self._wait = store, key, seconds, wait
        self._version: UpdateVersion = {}
        self._renewed = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True)

    def __enter__(self) -> Self:
        seen: str | None = None
        since = start = time.monotonic()
        while not self._put("create"):
            try:
                tag = obstore.head(self._store, self._key)["e_tag"]
            except (NotFoundError, FileNotFoundError):
                continue
            now = time.monotonic()
            if tag != seen:
                seen, since = tag, now
            elif now - since >= self._seconds and self._put({"e_tag": tag}):
                break
            if now - start > self._wait + self._seconds + 1:
                raise FailedPrecondition("another exporter is writing to this repository: try again when it is done")
            time.sleep(min(1.0, self._seconds / 10))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()
        with contextlib.suppress(BaseError, Aborted):
            self.check()
            obstore.delete(self._store, self._key)

    def check(self) -> None:
        """Check that the lock is still held.

        Raises:
            Aborted: The lock was not renewed in time, and another writer may have taken it.
        """
        if time.monotonic() - self._renewed > self._seconds * 0.8:
            raise Aborted(
                "the lock on the repository was lost, as the object store did not answer for too long: try again"
            )

    def _renew(self) -> None:
        while not self._done.wait(self._seconds / 4):
            # After a short outage the next attempt may succeed; check() notices when it is too late.
            with contextlib.suppress(BaseError):
                if not self._put(self._version):
                    return

    def _put(self, mode: object) -> bool:
        began = time.monotonic()
        try:
            result = obstore.put(self._store, self._key, uuid.uuid4().bytes, mode=mode, use_multipart=False)  # type: ignore[arg-type]
        except (AlreadyExistsError, PreconditionError):
            return False
        self._version, self._renewed = {"e_tag": result["e_tag"]}, began
        return True
