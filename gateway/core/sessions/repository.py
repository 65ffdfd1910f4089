"""What sessions need of the database, as interfaces that the storage implements.

Readers and writers see the records of one tenant; another tenant's session is none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, TypeAlias

from gateway.core.access import AuditEntry
from gateway.core.runtime.transactions import Maintenance, Repository
from gateway.core.sessions.records import (
    Cursor,
    EncodedStep,
    ModelUse,
    RequestOutcome,
    SegmentRow,
    SessionRow,
    StepCursor,
    StepRow,
    TurnRow,
)
from sixpoint.geometry import Geometry

__all__ = ["SessionMaintenance", "SessionReader", "SessionRepository", "SessionUpkeep", "SessionWriter"]


class SessionReader(Protocol):
    """Queries on the sessions of one tenant, within one transaction."""

    def session(self, session_id: str) -> SessionRow | None:
        """The session of this id, open or ended."""
        ...

    def session_by_request(self, owner: str, request_id: str) -> SessionRow | None:
        """The session that an owner opened by a call with this request id."""
        ...

    def segments(self, session_id: str) -> list[SegmentRow]:
        """The segments of a session, by number."""
        ...

    def segments_of(self, session_ids: Sequence[str]) -> dict[str, list[SegmentRow]]:
        """The segments of several sessions, by number."""
        ...

    def has_segment(self, session_id: str, number: int) -> bool:
        """Whether a session has a segment of this number."""
        ...

    def steps(
        self,
        session_id: str,
        *,
        segment: int | None = None,
        first: int = 1,
        last: int | None = None,
        answers: bool = True,
    ) -> list[StepRow]:
        """Steps by segment, then by number.

        Args:
            session_id: Id of the session.
            segment: Number of the only segment; None for all.
            first: Lowest number of a step.
            last: Highest number of a step; None for no limit.
            answers: Whether to read the predictions, which are large.

        Raises:
            InternalError: A stored answer is damaged.
        """
        ...

    def step_page(
        self, session_id: str, *, segment: int | None, after: StepCursor, limit: int, max_bytes: int
    ) -> list[StepRow]:
        """Steps behind a place, by segment, then by number, without their predictions.

        Args:
            session_id: Id of the session.
            segment: Number of the only segment; None for all.
            after: Segment and number of the step before.
            limit: Largest number of steps to return.
            max_bytes: Largest number of bytes of prompts to return, but for a single larger step.
        """
        ...

    def turn(self, session_id: str) -> TurnRow | None:
        """The claim to the next turn on a session, if there is one."""
        ...

    def request(self, session_id: str, request_id: str) -> RequestOutcome | None:
        """What the call with this request id changed, if it was carried out."""
        ...

    def image_geometry(self, digest: str) -> Geometry:
        """The geometry of an image.

        Raises:
            ImageNotFound: The image was removed.
        """
        ...

    def count_open(self, owner: str | None = None) -> int:
        """Number of open sessions of the tenant, of one owner or of all."""
        ...

    def count_open_of_all(self) -> int:
        """Number of open sessions of all tenants, for the limit of the gateway."""
        ...

    def list_open(self, owner: str, *, after: Cursor | None, limit: int) -> list[SessionRow]:
        """An owner's open sessions, the last used first, then by id.

        Args:
            owner: Name of the owner.
            after: Cursor of the page before; None for the first page.
            limit: Largest number of sessions to return.
        """
        ...

    def list_using(self, use: ModelUse) -> list[SessionRow]:
        """The tenant's open sessions that use a model, in no particular order."""
        ...


class SessionWriter(SessionReader, Protocol):
    """Queries and changes of the sessions of one tenant, within one transaction."""

    def audit(self, entry: AuditEntry) -> None:
        """Write an entry to the audit log, as the last change of the transaction."""
        ...

    def encode_step(self, row: StepRow) -> EncodedStep:
        """A step as it is stored."""
        ...

    def insert_session(self, row: SessionRow, *, request_id: str | None) -> None:
        """Add a session, and the request id of the call that opened it."""
        ...

    def lock_session(self, session_id: str) -> SessionRow | None:
        """The session of this id, open or ended; until this transaction ends, no other one changes it."""
        ...

    def set_turn(self, session_id: str, claim: TurnRow | None) -> None:
        """Set the claim to the next turn on a session; None for no claim."""
        ...

    def touch_session(self, session_id: str, *, now: float) -> None:
        """Set the time of last use of an open session."""
        ...

    def advance(
        self,
        session_id: str,
        *,
        revision: int,
        now: float,
        model: str | None = None,
        added_steps: int = 0,
        added_bytes: int = 0,
    ) -> bool:
        """Go from ``revision`` to the next one, and set the time of last use; only if the session is open and there.

        Args:
            session_id: Id of the session.
            revision: Revision that the session must be at.
            now: Time of the change, seconds since 1970.
            model: Name of the session's new model; None to leave it.
            added_steps: Number by which the session's steps grow; below 0 when they become fewer.
            added_bytes: Number by which the bytes of the session's log grow.

        Returns:
            Whether the session was open and at ``revision``.
        """
        ...

    def end_session(self, session_id: str, *, now: float) -> bool:
        """End a session; return whether it was open."""
        ...

    def insert_segment(self, session_id: str, row: SegmentRow) -> None:
        """Add a segment."""
        ...

    def name_segments(self, session_id: str, names: Mapping[int, str]) -> None:
        """Name segments by number; add those that the session does not have."""
        ...

    def move_head(self, session_id: str, segment: int, head: int) -> None:
        """Make another step of a segment the last in force."""
        ...

    def append_step(self, session_id: str, step: EncodedStep) -> None:
        """Add a step after the head of its segment, which must exist and have no steps after its head."""
        ...

    def drop_redoable(self, session_id: str, segment: int, *, after: int) -> int:
        """Drop the steps of a segment after one of them; those that a fork shares stay for the fork.

        Returns:
            Bytes of the session's log that this released.
        """
        ...

    def share_steps(self, source: str, target: str, rows: Sequence[SegmentRow]) -> int:
        """Add segments to a new session, with the steps of another session's up to their lengths, without copying.

        Args:
            source: Id of the other session, which this transaction has locked.
            target: Id of the new session.
            rows: Segments of the new session.

        Returns:
            Bytes that the log of the new session takes.
        """
        ...

    def insert_requests(self, session_id: str, request_ids: Sequence[str], outcome: RequestOutcome) -> None:
        """Store what the calls with these request ids changed."""
        ...

    def touch_image(self, digest: str, *, now: float) -> bool:
        """Set an image's time of last use, so that it is not removed; return whether it exists."""
        ...


class SessionUpkeep(Protocol):
    """Queries and changes of the sessions of all tenants, within one transaction."""

    def count_open_of_all(self) -> int:
        """Number of open sessions."""
        ...

    def log_bytes_by_owner(self) -> dict[tuple[str, str], int]:
        """Bytes of the logs of each tenant's and owner's sessions, those of ended sessions included."""
        ...

    def end_idle(self, *, unused_since: float, now: float) -> int:
        """End all open sessions last used before a time, as expired; return their number."""
        ...

    def delete_ended(self, *, before: float, tombstones_before: float, limit: int) -> bool:
        """Delete the segments, steps and requests of ended sessions, and the oldest of these sessions altogether.

        Steps that an open session shares stay, and so does their session's record.

        Args:
            before: Time of the end before which the history of a session is deleted.
            tombstones_before: Time of the end before which a session is deleted altogether.
            limit: Largest number of histories to delete at once: they are large, and other writers wait meanwhile.

        Returns:
            Whether there may be more to delete.
        """
        ...

    def tick(self, *, now: float) -> float | None:
        """Store that a gateway looked at the clock; return when one did before, None the first time."""
        ...

    def shift_last_use(self, seconds: float, *, now: float) -> None:
        """Add seconds to all times of last use, of sessions and images, but not beyond ``now``."""
        ...


SessionRepository: TypeAlias = Repository[SessionReader, SessionWriter]
"""The transactions of sessions."""

SessionMaintenance: TypeAlias = Maintenance[SessionUpkeep]
"""The transactions on the sessions of all tenants."""
