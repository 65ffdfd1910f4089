"""A cache of the segments used last, so that most calls need not read and decode them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from gateway.core.runtime.byte_lru import ByteLru
from gateway.core.sessions.records import SegmentRow, SessionRow
from gateway.core.sessions.segment_state import SegmentState

__all__ = ["CachedSegment", "SegmentStateCache"]

# Network inputs are large, and help those who click just now: they may take a sixteenth of the budget, and stay while a
# session is worked with.
_INPUT_SHARE = 16
# The usual state takes about a megabyte. A mask of a whole image takes a byte per voxel, and is read and unpacked again
# in a fraction of a second: it stays only while it is worked with.
_LARGE_BYTES = 8 * 2**20
_WORK_IDLE_S = 15.0


@dataclass(frozen=True, eq=False)
class CachedSegment:
    """A segment in the cache.

    Attributes:
        revision: Revision of the session that the rest belongs to.
        segment: Record of the segment.
        state: State of the segment.
    """

    revision: int
    segment: SegmentRow
    state: SegmentState


@dataclass(eq=False)
class _CachedSession:
    """A session in the cache; ``row`` is None once it may be out of date while the segments are not."""

    row: SessionRow | None
    segments: dict[int, CachedSegment]
    used: float

    @property
    def nbytes(self) -> int:
        return sum(cached.state.nbytes for cached in self.segments.values())

    def drop_input(self, number: int) -> None:
        """Drop what the network saw of a segment."""
        cached = self.segments[number]
        self.segments[number] = replace(cached, state=replace(cached.state, network_input=None))


class SegmentStateCache:
    """The states of the segments used last, within a budget; network inputs, which are large, of fewer of them.

    Args:
        budget: Bytes of all states.
        idle: Seconds after which an unused session is dropped; at most 15 where its states take more than 8 MiB.
            Network inputs are dropped after 15, too.
        now: Clock, in seconds, that never goes back.
    """

    def __init__(self, budget: int, *, idle: float = 600.0, now: Callable[[], float] = time.monotonic) -> None:
        self._idle = idle
        self._now = now
        self._sessions: ByteLru[str, _CachedSession] = ByteLru(budget, size=lambda session: session.nbytes)
        # The bytes of each segment's network input.
        self._inputs: ByteLru[tuple[str, int], int] = ByteLru(budget // _INPUT_SHARE, size=int)

    @property
    def nbytes(self) -> int:
        """Bytes of all states."""
        return self._sessions.nbytes

    def get(self, session_id: str, segment: int) -> CachedSegment | None:
        """A segment's state, if it is cached; the database may have moved on from its revision."""
        session = self._sessions.get(session_id)
        if session is None:
            return None
        session.used = self._now()
        return session.segments.get(segment)

    def row(self, session_id: str) -> SessionRow | None:
        """A session's record, if it is cached; the database may have moved on from its revision."""
        session = self._sessions.peek(session_id)
        return None if session is None else session.row

    def put(self, row: SessionRow, *, previous_revision: int, segment: SegmentRow, state: SegmentState) -> None:
        """Cache a segment's state at the revision of ``row``.

        Args:
            row: Record of the session.
            previous_revision: Revision at which cached states of the session's other segments are still right.
            segment: Record of the segment.
            state: State of the segment.
        """
        segments = {
            number: replace(cached, revision=row.revision)
            for number, cached in self._pop(row.id).items()
            if cached.revision == previous_revision
        }
        segments[segment.number] = CachedSegment(row.revision, segment, state)
        session = _CachedSession(row, segments, self._now())
        for number, cached in segments.items():
            if cached.state.network_input:
                self._put_input(session, row.id, number, cached.state.network_input.nbytes)
        for session_id, evicted in self._sessions.put(row.id, session):
            self._pop_inputs(session_id, evicted)

    def expire(self) -> None:
        """Drop the sessions that were not used for too long, and the network inputs of those not used just now."""
        now = self._now()
        # The least recently used come first.
        for session_id in list(self._sessions):
            session = self._sessions.peek(session_id)
            if session is None:
                continue
            unused = now - session.used
            if unused < min(self._idle, _WORK_IDLE_S):
                break
            if unused >= self._idle or session.nbytes > _LARGE_BYTES:
                self.drop(session_id)
            else:
                self._drop_inputs(session_id, session)

    def carry_over(self, session_id: str, revision: int) -> None:
        """Take over the cached segments to ``revision``, as the change before it concerned none of them.

        The session's record is dropped, since it may have changed.
        """
        session = self._sessions.peek(session_id)
        if session is None:
            return
        session.row = None
        for number, cached in session.segments.items():
            if cached.revision == revision - 1:
                session.segments[number] = replace(cached, revision=revision)

    def drop(self, session_id: str) -> None:
        """Drop a session."""
        self._pop(session_id)

    def _pop(self, session_id: str) -> dict[int, CachedSegment]:
        session = self._sessions.pop(session_id)
        if session is None:
            return {}
        self._pop_inputs(session_id, session)
        return session.segments

    def _put_input(self, session: _CachedSession, session_id: str, number: int, nbytes: int) -> None:
        """Count a segment's network input of a session that is not cached yet, and drop the oldest inputs."""
        for (other_id, other_number), _ in self._inputs.put((session_id, number), nbytes):
            other = self._sessions.peek(other_id)
            if other is None:
                session.drop_input(other_number)
            else:
                other.drop_input(other_number)
                self._sessions.measure(other_id)

    def _drop_inputs(self, session_id: str, session: _CachedSession) -> None:
        self._pop_inputs(session_id, session)
        for number in session.segments:
            session.drop_input(number)
        self._sessions.measure(session_id)

    def _pop_inputs(self, session_id: str, session: _CachedSession) -> None:
        for number in session.segments:
            self._inputs.pop((session_id, number))
