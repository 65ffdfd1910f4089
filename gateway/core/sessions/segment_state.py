"""Where a segment stands: what was shown of its object, and the answer; read from the log, and kept at hand."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import zstandard

from gateway.core.annotation.preprocess import NetworkInput, Prediction
from gateway.core.annotation.prompt_state import ObjectPrompts, accumulate, anywhere, read_prompts
from gateway.core.sessions.records import SegmentRow, SessionRow, StepRow
from gateway.core.sessions.step_codec import decode_answer, decode_prompts
from sixpoint._typing import Bools
from sixpoint.errors import InternalError
from sixpoint.geometry import Geometry

__all__ = ["Hot", "SegmentStateCache", "SentMask", "State", "read_state"]

# Of a state beyond its answer: prompts, objects, bookkeeping.
_OVERHEAD_BYTES = 4096
# What the network saw is large, and of use to those who click just now: a sixteenth of the budget is kept of it.
_PREPARED_SHARE = 16


@dataclass(frozen=True, eq=False)
class SentMask:
    """A segment's mask as it was sent, and the revision from which on it was the segment's.

    Attributes:
        mask: A piece of the image's grid, bool [z, y, x]; beyond it there is nothing.
        offset: Index (x, y, z) of its first voxel.
        since: The revision.
    """

    mask: Bools
    offset: tuple[int, int, int]
    since: int


@dataclass(frozen=True, eq=False)
class State:
    """Where a segment stands. It is replaced as a whole, never changed: a call that fails leaves it as it was.

    Attributes:
        begun: Number of the step that began the object; 0 when there is none.
        shown: What was shown of the object; None when there is none.
        answered: The answer, which clicks correct; None when there is none.
        model: Name of the model that answered.
        version: Its version.
        threshold: Probability from which on a voxel belongs to the object.
        reply: The mask as it was sent last; None when it is not known.
        prepared: What the network saw last; None when it is not known.
    """

    begun: int = 0
    shown: ObjectPrompts | None = None
    answered: Prediction | None = None
    model: str = ""
    version: str = ""
    threshold: float = 0.5
    reply: SentMask | None = None
    prepared: NetworkInput | None = None

    @property
    def nbytes(self) -> int:
        """Bytes that it holds in memory, more or less."""
        answer = self.answered.probabilities.nbytes if self.answered else 0
        seen = self.prepared.nbytes if self.prepared else 0
        mask = self.shown.extent.mask if self.shown else None
        brought = 0 if mask is None else mask.nbytes
        return answer + seen + brought + (self.reply.mask.nbytes if self.reply else 0) + _OVERHEAD_BYTES


def read_state(prompts: Sequence[bytes], last: StepRow, *, geometry: Geometry) -> State:
    """The state after steps on one object.

    Args:
        prompts: Of each, as stored; the first began the object.
        last: The last of them.
        geometry: Of the image as it came.

    Raises:
        InternalError: When the stored answer is damaged.
    """
    shown = None
    for data in prompts:
        call = read_prompts(decode_prompts(data), geometry=geometry)
        if shown is None and call.extent is None:  # then its clicks began the object
            call = anywhere(call, geometry=geometry)
        shown = accumulate(shown, call)
    try:
        answered = decode_answer(last.roi, last.answer)
    except (zstandard.ZstdError, ValueError) as error:
        raise InternalError("a stored answer is damaged; undo the step, and show it again") from error
    return State(last.start_step, shown, answered, last.model, last.model_version, last.threshold)


@dataclass(frozen=True, eq=False)
class Hot:
    """A segment at hand: the session's revision, the segment's record, and where it stands."""

    revision: int
    segment: SegmentRow
    state: State


@dataclass(eq=False)
class SegmentStateCache:
    """The states of the segments that were used last, within a budget; of fewer of them what the network saw.

    Attributes:
        budget: Bytes.
        idle: Seconds after which those of a session that nobody used are let go of.
        now: A clock, in seconds, that never goes back.
    """

    budget: int
    idle: float = 600.0
    now: Callable[[], float] = time.monotonic
    _sessions: OrderedDict[str, dict[int, Hot]] = field(default_factory=OrderedDict)
    _rows: dict[str, SessionRow] = field(default_factory=dict)
    _used: dict[str, float] = field(default_factory=dict)
    _prepared: OrderedDict[tuple[str, int], int] = field(default_factory=OrderedDict)
    _nbytes: int = 0

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self._nbytes

    def get(self, session_id: str, segment: int) -> Hot | None:
        """A segment's state, if it is at hand; compare its revision with the database's."""
        found = self._sessions.get(session_id)
        if found is None:
            return None
        self._sessions.move_to_end(session_id)
        self._used[session_id] = self.now()
        return found.get(segment)

    def row(self, session_id: str) -> SessionRow | None:
        """The session's record, if it is at hand; it may be out of date, as the states may."""
        return self._rows.get(session_id)

    def put(self, row: SessionRow, *, before: int, segment: SegmentRow, state: State) -> None:
        """Keep a segment's state; the session's other segments stay, if they are of the revision before."""
        session_id, revision = row.id, row.revision
        kept = {number: hot for number, hot in self.drop(session_id).items() if hot.revision == before}
        kept = {number: replace(hot, revision=revision) for number, hot in kept.items()}
        kept[segment.number] = Hot(revision, segment, state)
        self._sessions[session_id] = kept
        self._rows[session_id] = row
        self._used[session_id] = self.now()
        self._nbytes += _size(kept)
        for number, hot in kept.items():
            if hot.state.prepared:
                self._prepared[session_id, number] = hot.state.prepared.nbytes
        while sum(self._prepared.values()) > self.budget // _PREPARED_SHARE:
            self._strip(*next(iter(self._prepared)))
        while self._nbytes > self.budget and self._sessions:
            self.drop(next(iter(self._sessions)))

    def expire(self) -> None:
        """Let go of the sessions that nobody used for too long."""
        # The least recently used come first.
        for session_id in list(self._sessions):
            if self._used[session_id] > self.now() - self.idle:
                break
            self.drop(session_id)

    def keep_at(self, session_id: str, revision: int) -> None:
        """A change from the revision before left all segments as they were, though perhaps not the session's record."""
        self._rows.pop(session_id, None)
        kept = self._sessions.get(session_id, {})
        for number, hot in kept.items():
            if hot.revision == revision - 1:
                kept[number] = replace(hot, revision=revision)

    def drop(self, session_id: str) -> dict[int, Hot]:
        """Let go of a session; what was at hand of it."""
        dropped = self._sessions.pop(session_id, {})
        self._used.pop(session_id, None)
        self._rows.pop(session_id, None)
        for number in dropped:
            self._prepared.pop((session_id, number), None)
        self._nbytes -= _size(dropped)
        return dropped

    def _strip(self, session_id: str, segment: int) -> None:
        """Keep a segment's state without what the network saw."""
        hot = self._sessions[session_id][segment]
        self._sessions[session_id][segment] = replace(hot, state=replace(hot.state, prepared=None))
        self._nbytes -= self._prepared.pop((session_id, segment))


def _size(states: dict[int, Hot]) -> int:
    return sum(hot.state.nbytes for hot in states.values())
