"""What a call on a segment asks for, and what it returns."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.core.access import Principal
from gateway.core.annotation.annotator import RenderedMask
from gateway.core.sessions.records import SegmentRow, SessionRow
from gateway.core.sessions.segment_state import SegmentState
from sixpoint.mask import PackedMask, Timings

__all__ = ["AnnotationRequest", "AnnotationResult", "make_result"]


@dataclass(frozen=True)
class AnnotationRequest:
    """The segment that a call is about, and the conditions of the call.

    Attributes:
        principal: Who makes the call.
        session_id: Id of the session.
        segment: Number of the segment.
        revision: Session revision that the call was made for; None for any.
        request_ids: Ids of the call, or of the calls joined in it; empty without ids. A call that repeats all of them
            is not carried out again.
        base_revision: Revision of the mask of the segment that the client has; 0 for none.
    """

    principal: Principal
    session_id: str
    segment: int = 1
    revision: int | None = None
    request_ids: tuple[str, ...] = ()
    base_revision: int = 0


@dataclass(frozen=True)
class AnnotationResult:
    """A segment after a call.

    Attributes:
        revision: Revision of the session.
        segment: Number, head and length of the segment.
        mask: Mask of the segment, or the box in which it changed.
        model: Name of the model that made the mask; empty for an empty segment.
        version: Version of that model.
        timings: Time spent on each part of the call.
    """

    revision: int
    segment: SegmentRow
    mask: PackedMask
    model: str
    version: str
    timings: Timings


def make_result(
    row: SessionRow, segment: SegmentRow, state: SegmentState, rendered: RenderedMask, timings: Timings
) -> AnnotationResult:
    """The result of a call that left a segment in a state, and its mask rendered."""
    return AnnotationResult(row.revision, segment, rendered.packed, state.model, state.version, timings)
