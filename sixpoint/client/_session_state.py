"""The state of a session as far as its client knows it: model, revision, segments and their masks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sixpoint._typing import Counts
from sixpoint.client._mask_cache import CachedMask, LazyMask, apply_patch
from sixpoint.client.models import SegmentInfo, SessionInfo
from sixpoint.errors import (
    Aborted,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    SixpointError,
)
from sixpoint.geometry import Geometry
from sixpoint.mask import Mask
from sixpoint.protocol import mask_from_message, timings_from_message
from sixpoint.v1 import annotation_service_pb2 as annotation_pb

__all__ = ["SessionState", "is_refusal"]

_REFUSALS = (InvalidArgument, FailedPrecondition, NotFound, Aborted, ResourceExhausted)


def is_refusal(error: SixpointError) -> bool:
    """Whether an error proves that the gateway changed nothing."""
    return isinstance(error, _REFUSALS)


class SessionState:
    """The last known state of one session, updated by single calls and streams alike.

    Args:
        info: Session as the gateway described it first.
        geometry: Geometry of the session's image.

    Attributes:
        model: Name of the session's model.
        revision: Number of the session's changes.
        segments: Segments by number.
        uncertain: Whether the outcome of a change is unknown, so that this state may be out of date.
    """

    def __init__(self, info: SessionInfo, geometry: Geometry) -> None:
        self.model: str
        self.revision: int
        self.segments: dict[int, SegmentInfo]
        self._geometry = geometry
        self._image_digest = info.image_digest
        self._masks: dict[int, CachedMask] = {}
        self._last = 0
        self.uncertain: bool = False
        self.update(info)

    def update(self, info: SessionInfo) -> None:
        """Take over the gateway's description of the session."""
        self.model, self.revision = info.model, info.revision
        self.segments = {segment.number: segment for segment in info.segments}

    def record(self, answer: annotation_pb.Answer, *, segment: int) -> None:
        """Take over the answer to a change.

        Args:
            answer: Answer of the gateway.
            segment: Number of the segment that was asked for; it counts where the answer names none.
        """
        self.revision = answer.revision
        number = answer.segment or segment
        previous = self.segments.get(number)
        name = previous.name if previous else ""
        self.segments[number] = SegmentInfo(number, name, answer.step, answer.step_count)

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Mark the state as uncertain during a change, and after one that neither succeeded nor was refused."""
        self.uncertain = True
        try:
            yield
        except SixpointError as error:
            self.uncertain = not is_refusal(error)
            raise
        self.uncertain = False

    def cached_revision(self, segment: int) -> int:
        """Return the revision of the mask that is cached for a segment; 0 if there is none."""
        cached = self._masks.get(segment)
        return cached.revision if cached else 0

    @property
    def last_mask(self) -> Counts | None:
        """Mask [z, y, x] of the segment that was answered last, if the client has it; uint8, 0 and 1."""
        cached = self._masks.get(self._last)
        return cached.to_array(self._geometry.size) if cached else None

    def discard_mask(self, segment: int) -> None:
        """Remove the cached mask of a segment, so that the gateway sends the next one whole."""
        self._masks.pop(segment, None)

    def mask(self, answer: annotation_pb.Answer, *, segment: int) -> Mask:
        """Return the mask of an answer, and cache it.

        Args:
            answer: Answer of the gateway.
            segment: Number of the segment that was asked for; it counts where the answer names none.

        Raises:
            InternalError: The mask arrived damaged, or it does not fit the cached one.
        """
        patch, number = mask_from_message(answer.mask), answer.segment or segment
        cached = apply_patch(patch, revision=answer.revision, cached=self._masks.get(number), size=self._geometry.size)
        self._masks[number], self._last = cached, number
        segment_info = self.segments.get(number)
        return LazyMask.from_cache(
            cached,
            self._geometry,
            model=answer.model,
            model_version=answer.model_version,
            revision=answer.revision,
            timings=timings_from_message(answer.timings),
            reply_bytes=len(patch.bits),
            names={1: segment_info.name} if segment_info and segment_info.name else {},
            image_digest=self._image_digest,
        )
