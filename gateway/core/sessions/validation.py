"""Checks of what calls on sessions ask for."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.core.runtime import Model
from gateway.core.runtime.fairness import leaves_room
from gateway.core.sessions.records import SegmentRow, SessionRow
from gateway.core.sessions.repository import SessionReader, SessionWriter
from sixpoint.errors import (
    InvalidArgument,
    NothingToRedo,
    NothingToUndo,
    ResourceExhausted,
    SessionExpired,
    SessionNotFound,
    StaleRevision,
    TaskNotSupported,
    Violation,
)
from sixpoint.masks.labels import MAX_SEGMENTS, check_segment_number
from sixpoint.model_spec import SegmentationSpec

__all__ = [
    "LOOK",
    "advance_revision",
    "check_limits",
    "check_model",
    "check_names",
    "check_repeated",
    "check_request_id",
    "check_revision",
    "check_step",
    "head_after",
    "head_before",
    "require_open",
]

# For those who type commands, write Python, or call RPCs.
LOOK = "sixpoint resume SESSION on the command line, session.refresh() in the SDK, GetSession in gRPC"
"""How to look at a session again."""
_MAX_REQUEST_ID = 64
_MAX_NAME = 200


def check_model(model: Model) -> None:
    """Refuse a model that takes no prompts: a session with it could not be worked on.

    Raises:
        TaskNotSupported: The model segments whole images.
    """
    if isinstance(model.spec, SegmentationSpec):
        raise TaskNotSupported(
            f"model {model.name!r} takes no prompts, so a session cannot use it: segment the image with it (sixpoint "
            "segment, client.segment), or choose a model that takes prompts",
            violations=(Violation("model", "a model of TASK_ANNOTATION"),),
        )


def check_names(names: Sequence[tuple[int, str]]) -> None:
    """Refuse names of segments that cannot be stored.

    Args:
        names: Number and name of each segment.

    Raises:
        InvalidArgument: There are too many names, a number is out of range, or a name is too long.
    """
    if len(names) > MAX_SEGMENTS:
        raise InvalidArgument(
            f"{len(names)} names of segments in one call; expected at most {MAX_SEGMENTS}",
            violations=(Violation("segments", f"at most {MAX_SEGMENTS}"),),
        )
    for number, name in names:
        check_segment_number(number)
        if len(name) > _MAX_NAME:
            raise InvalidArgument(f"a segment's name has {len(name)} characters; expected at most {_MAX_NAME}")


def check_request_id(request_id: str) -> None:
    """Refuse a request id that is too long.

    Raises:
        InvalidArgument: The id is too long.
    """
    if len(request_id) > _MAX_REQUEST_ID:
        raise InvalidArgument(
            f"the request id has {len(request_id)} characters; expected at most {_MAX_REQUEST_ID}",
            violations=(Violation("request_id", f"at most {_MAX_REQUEST_ID} characters"),),
        )


def check_repeated(opened: SessionRow, digest: str) -> None:
    """Refuse a request id that another call used: a client that counts 1, 2, 3 would get a session on another image.

    Args:
        opened: Session that a call with this request id opened.
        digest: Digest of the image that this call is for.

    Raises:
        InvalidArgument: The session is on another image.
    """
    if opened.image_digest != digest:
        raise InvalidArgument(
            "a call with this request_id opened a session on another image: give each call a random one of its own",
            violations=(Violation("request_id", "one that no other call had"),),
        )


def check_step(rows: Sequence[SegmentRow], segment: int, step: int) -> None:
    """Refuse a step that a session does not have.

    Args:
        rows: Records of the session's segments.
        segment: Number of the segment.
        step: Number of the step; 0 for before the first.

    Raises:
        InvalidArgument: There is no such segment or step.
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


def check_limits(records: SessionReader, owner: str, *, limit: int, owner_limit: int) -> None:
    """Refuse to open one more session than the limits allow.

    Args:
        records: Queries of the transaction.
        owner: Name whose quota is charged.
        limit: Largest number of open sessions.
        owner_limit: Largest number of open sessions of one owner; 0 for no limit.

    Raises:
        ResourceExhausted: A limit is reached.
    """
    total, owned = records.count_open_of_all(), records.count_open(owner)
    if total >= limit:
        raise ResourceExhausted(
            f"{limit} sessions are open, which is the limit (SIXPOINT_MAX_SESSIONS); close one, or wait until one "
            "expires",
            retry_after=60.0,
        )
    if not leaves_room(owned, total=total, limit=limit):
        raise ResourceExhausted(
            f"{owned} of your sessions are open, and the rest of the {limit} (SIXPOINT_MAX_SESSIONS) is for owners "
            "with fewer; close one, or wait until one expires",
            retry_after=60.0,
        )
    if owner_limit and owned >= owner_limit:
        raise ResourceExhausted(
            f"{owner_limit} of your sessions are open, which is the limit for one owner (SIXPOINT_OWNER_SESSIONS); "
            "close one"
        )


def head_before(segment: SegmentRow) -> int:
    """Return the head that undoing a segment's last step leaves.

    Raises:
        NothingToUndo: The segment is before its first step.
    """
    if not segment.head:
        raise NothingToUndo(f"segment {segment.number} stands before its first step: nothing can be undone")
    return segment.head - 1


def head_after(segment: SegmentRow) -> int:
    """Return the head that redoing a segment's next step leaves.

    Raises:
        NothingToRedo: The segment is at its last step.
    """
    if segment.head == segment.length:
        raise NothingToRedo(f"segment {segment.number} stands after its last step: nothing can be redone")
    return segment.head + 1


def check_revision(row: SessionRow, revision: int | None) -> None:
    """Refuse a change that was made for another revision.

    Raises:
        StaleRevision: The session is at another revision.
    """
    if revision is not None and revision != row.revision:
        raise StaleRevision(
            f"another client changed the session: it is at revision {row.revision}, the call was made for {revision}. "
            f"Look at it before you change it: {LOOK}"
        )


def require_open(row: SessionRow | None) -> SessionRow:
    """Return the session, if there is one and it is open.

    Raises:
        SessionExpired: The session was idle for too long.
        SessionNotFound: There is no such session, or it was closed.
    """
    if row is not None and row.ended is None:
        return row
    if row is not None and row.expired:
        raise SessionExpired("the session was idle for too long and was closed; open a new one")
    raise SessionNotFound("no session has this id: it is closed already, or never existed")


def advance_revision(
    records: SessionWriter,
    row: SessionRow,
    *,
    now: float,
    model: str | None = None,
    added_steps: int = 0,
    added_bytes: int = 0,
) -> None:
    """Go from the revision of ``row`` to the next one.

    Raises:
        StaleRevision: The session is at another revision.
        SessionNotFound: The session was closed meanwhile.
    """
    counted = records.advance(
        row.id, revision=row.revision, now=now, model=model, added_steps=added_steps, added_bytes=added_bytes
    )
    if not counted:
        check_revision(require_open(records.session(row.id)), row.revision)
