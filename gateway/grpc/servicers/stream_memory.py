"""The memory of all viewers' streams: of actions until they are carried out, and of answers until they are read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from sixpoint.errors import ResourceExhausted

__all__ = ["StreamMemory", "StreamShare"]

# Clicks are not counted: their number per stream is limited, and they go on while the memory is spent.
_UNCOUNTED_BYTES = 4096
# One owner leaves the other half to others.
_OWNER_PART = 2
_RETRY_S = 1.0
_MIB = 2**20


class StreamMemory:
    """A budget for the messages of all streams.

    Args:
        budget: Bytes of all streams together; one owner's streams take at most half.
    """

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._owners: Counter[str] = Counter()

    @property
    def used(self) -> int:
        """Bytes that streams have reserved."""
        return self._owners.total()

    @contextmanager
    def share(self, owner: str) -> Iterator[StreamShare]:
        """The part of a stream, which is released when the stream ends.

        Args:
            owner: Name of the stream's owner.
        """
        share = StreamShare(self, owner)
        try:
            yield share
        finally:
            share.release_all()

    def add(self, owner: str, nbytes: int) -> None:
        """Count bytes of an owner.

        Raises:
            ResourceExhausted: The budget, or the owner's part of it, is spent.
        """
        if self.used + nbytes > self._budget or self._owners[owner] + nbytes > self._budget // _OWNER_PART:
            raise ResourceExhausted(
                f"a message of {nbytes / _MIB:.1f} MiB is too much while messages of streams take "
                f"{self.used / _MIB:.0f} MiB, {self._owners[owner] / _MIB:.0f} MiB of them yours; the limit is "
                f"{self._budget / _MIB:.0f} MiB, and half for one owner (SIXPOINT_STREAM_MEMORY_BYTES). Read the "
                "answers that wait, and try again",
                retry_after=_RETRY_S,
            )
        self._owners[owner] += nbytes

    def remove(self, owner: str, nbytes: int) -> None:
        """Count bytes of an owner no more."""
        self._owners[owner] -= nbytes
        if not self._owners[owner]:
            del self._owners[owner]


class StreamShare:
    """The part of one stream; made by :meth:`StreamMemory.share`."""

    def __init__(self, memory: StreamMemory, owner: str) -> None:
        self._memory = memory
        self._owner = owner
        self._nbytes = 0

    def reserve(self, size: int) -> None:
        """Reserve the bytes of a message.

        Raises:
            ResourceExhausted: The budget is spent.
        """
        if size > _UNCOUNTED_BYTES:
            self._memory.add(self._owner, size)
            self._nbytes += size

    def release(self, size: int) -> None:
        """Release the bytes of a message that was reserved."""
        if size > _UNCOUNTED_BYTES:
            self._memory.remove(self._owner, size)
            self._nbytes -= size

    def release_all(self) -> None:
        """Release the bytes of all messages."""
        self._memory.remove(self._owner, self._nbytes)
        self._nbytes = 0
