"""Remember the masks that were sent, so that the next answer is only the box that changed."""

from __future__ import annotations

from gateway.core.annotation.client_mask import ClientMask
from gateway.core.sessions.history import Snapshot
from gateway.core.sessions.request import AnnotationRequest
from gateway.core.sessions.segment_state import SentMask
from sixpoint._typing import Bools

__all__ = ["find_client_mask", "remember_sent_mask"]

# A larger mask is packed whole in less time than it is compared with the previous one.
_MAX_COMPARED_VOXELS = 2**22


def find_client_mask(snapshot: Snapshot, request: AnnotationRequest) -> ClientMask | None:
    """Find the mask that the client says it has; None if it is not the current one, or no longer in memory."""
    sent = snapshot.state.sent_mask
    if sent is None or not sent.since <= request.base_revision <= snapshot.row.revision:
        return None
    return ClientMask(sent.mask, sent.offset, request.base_revision)


def remember_sent_mask(mask: Bools, offset: tuple[int, int, int], revision: int) -> SentMask | None:
    """Keep a mask to compare the next one with; None for a mask that is too large to compare.

    Args:
        mask: The part of the image's grid that contains the object, bool [z, y, x].
        offset: Index (x, y, z) of the first voxel of ``mask`` in the image.
        revision: Session revision of the mask.
    """
    return None if mask.size > _MAX_COMPARED_VOXELS else SentMask(mask, offset, revision)
