"""What a client knows of a session: what it was told last, by single calls and streams alike."""

from __future__ import annotations

from sixpoint.client._mask_cache import Held, HeldMask, received
from sixpoint.client.models import SegmentInfo, SessionInfo
from sixpoint.geometry import Geometry
from sixpoint.mask import Mask
from sixpoint.protocol.converters import mask_from_message, timings_from_message
from sixpoint.v1 import annotation_service_pb2 as annotation

__all__ = ["Known"]


class Known:
    """What a client knows of one session.

    Args:
        info: The session, as it was told first.
        geometry: Where its image's voxels lie.

    Attributes:
        model: Name of its model.
        revision: Number of its changes.
        segments: Its objects, by number.
        unsure: Whether a change was sent whose outcome is not known: then all of this may be out of date.
    """

    def __init__(self, info: SessionInfo, geometry: Geometry) -> None:
        self._geometry = geometry
        self._held: dict[int, Held] = {}
        self.unsure = False
        self.update(info)

    def update(self, info: SessionInfo) -> None:
        """Take what the gateway says of the session."""
        self.model, self.revision = info.model, info.revision
        self.segments = {one.number: one for one in info.segments}

    def learn(self, answer: annotation.Answer, *, segment: int) -> None:
        """Take the answer to a change of a segment."""
        self.revision = answer.revision
        segment = answer.segment or segment
        known = self.segments.get(segment)
        self.segments[segment] = SegmentInfo(segment, known.name if known else "", answer.step, answer.step_count)

    def base(self, segment: int) -> int:
        """The revision at which the segment had the mask that is held here; 0 when none is."""
        held = self._held.get(segment)
        return held.revision if held else 0

    def forget(self, segment: int) -> None:
        """Hold no mask of a segment, so that the next one comes whole."""
        self._held.pop(segment, None)

    def mask(self, answer: annotation.Answer, *, segment: int) -> Mask:
        """The mask of an answer, which is held from now on.

        Raises:
            InternalError: When it arrived damaged, or tells what changed of another mask than the one that is held.
        """
        packed, segment = mask_from_message(answer.mask), answer.segment or segment
        held = received(packed, revision=answer.revision, held=self._held.get(segment), size=self._geometry.size)
        self._held[segment] = held
        return HeldMask(
            held,
            self._geometry,
            model=answer.model,
            model_version=answer.model_version,
            revision=answer.revision,
            timings=timings_from_message(answer.timings),
            reply_bytes=len(packed.bits),
        )
