"""What a call on a segment asks, and what it gets."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.core.sessions.records import SegmentRow
from sixpoint.mask import PackedMask, Timings

__all__ = ["AnnotationRequest", "AnnotationResult"]


@dataclass(frozen=True)
class AnnotationRequest:
    """What a call is about, and on which conditions.

    Attributes:
        session_id: The session.
        segment: Number of the segment.
        revision: The revision that it was made for; None: the newest.
        request_ids: The ids of the call, or of the calls that it joins, empty for one without: repeated with all of
            them, it is answered again.
        base_revision: The revision whose mask of the segment the caller has; 0: none.
    """

    session_id: str
    segment: int = 1
    revision: int | None = None
    request_ids: tuple[str, ...] = ()
    base_revision: int = 0


@dataclass(frozen=True)
class AnnotationResult:
    """A segment as it stands after a call.

    Attributes:
        revision: The session's.
        segment: The segment's number, last step in force, and last step there is.
        mask: Its mask, or what changed of it.
        model: Name of the model that made it; empty for an empty segment.
        version: That model's version.
        timings: Where the time went.
    """

    revision: int
    segment: SegmentRow
    mask: PackedMask
    model: str
    version: str
    timings: Timings
