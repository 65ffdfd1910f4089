"""What calls on sessions may say."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.core.sessions.records import SegmentRow, SessionRow
from sixpoint.errors import InvalidArgument, Violation

__all__ = ["check_repeated", "check_request_id", "check_segment", "check_step"]

MOST_SEGMENTS = 255
"""Labels of a mask are bytes."""
_MOST_ID = 64


def check_segment(number: int) -> None:
    """Refuse a number that is no segment's.

    Raises:
        InvalidArgument: Saying what one may be.
    """
    if not 1 <= number <= MOST_SEGMENTS:
        raise InvalidArgument(
            f"segment {number}; expected a number from 1 to {MOST_SEGMENTS}",
            violations=(Violation("segment", f"1 to {MOST_SEGMENTS}"),),
        )


def check_request_id(request_id: str) -> None:
    """Refuse a call's id that is too long.

    Raises:
        InvalidArgument: Saying how long one may be.
    """
    if len(request_id) > _MOST_ID:
        raise InvalidArgument(
            f"the request's id has {len(request_id)} characters; at most {_MOST_ID} are taken",
            violations=(Violation("request_id", f"at most {_MOST_ID} characters"),),
        )


def check_repeated(known: SessionRow, digest: str) -> None:
    """Refuse an id that is no repetition: whoever counts 1, 2, 3 would go on in a session on another image.

    Args:
        known: The session that a call with this id opened.
        digest: Of the image that this call is about.

    Raises:
        InvalidArgument: When it is another image.
    """
    if known.image_digest != digest:
        raise InvalidArgument(
            "a call with this request_id opened a session on another image: give each call a random one of its own",
            violations=(Violation("request_id", "one that no other call had"),),
        )


def check_step(rows: Sequence[SegmentRow], segment: int, step: int) -> None:
    """Refuse a step that a session's segments do not have.

    Raises:
        InvalidArgument: Saying which there are.
    """
    lengths = {row.number: row.length for row in rows}
    if segment not in lengths:
        raise InvalidArgument(
            f"the session has no segment {segment}", violations=(Violation("segment", "one of the session's"),)
        )
    if not 0 <= step <= lengths[segment]:
        raise InvalidArgument(
            f"step {step} of segment {segment}; it has {lengths[segment]}",
            violations=(Violation("step", f"0 to {lengths[segment]}"),),
        )
