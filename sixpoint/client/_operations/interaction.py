"""The operations of an interaction: actions are numbered and sent, and their events are read."""

from __future__ import annotations

import itertools

from sixpoint.client._operations.session import ChangeRequest, SessionOperations
from sixpoint.client._sansio import Operation
from sixpoint.client._session_state import is_refusal
from sixpoint.client.events import Answered, Event, Failed, Phase, Superseded
from sixpoint.errors import FailedPrecondition, SixpointError
from sixpoint.masks.labels import check_segment_number
from sixpoint.prompts import Prompt
from sixpoint.protocol import error_from_status
from sixpoint.v1 import annotation_service_pb2 as annotation_pb

__all__ = ["InteractionOperations"]


class InteractionOperations:
    """The requests and events of one stream, the same for both drivers.

    Args:
        session: Operations of the session that the stream works on.

    Attributes:
        is_open: Whether actions may be sent.
    """

    def __init__(self, session: SessionOperations) -> None:
        self._session = session
        self._numbers = itertools.count(1)
        # Segments of the actions that have no answer yet, by action; and those of these actions that change the
        # session.
        self._segments: dict[int, int] = {}
        self._changes: set[int] = set()
        # Whether an earlier change may have been made or not; the state of the session adds those under way.
        self._uncertain = session.state.uncertain
        self.is_open = False

    def annotate(self, prompts: tuple[Prompt, ...], segment: int) -> annotation_pb.InteractRequest:
        """Return the action that sends prompts."""
        request = self._fill(self._session.annotate_request(prompts), segment)
        return self._add(annotation_pb.InteractRequest(annotate=request), segment, changes=True)

    def undo(self, segment: int) -> annotation_pb.InteractRequest:
        """Return the action that undoes the last step."""
        request = self._fill(annotation_pb.UndoRequest(), segment)
        return self._add(annotation_pb.InteractRequest(undo=request), segment, changes=True)

    def redo(self, segment: int) -> annotation_pb.InteractRequest:
        """Return the action that redoes the next step."""
        request = self._fill(annotation_pb.RedoRequest(), segment)
        return self._add(annotation_pb.InteractRequest(redo=request), segment, changes=True)

    def reset(self, segment: int) -> annotation_pb.InteractRequest:
        """Return the action that undoes all steps."""
        request = self._fill(annotation_pb.ResetRequest(), segment)
        return self._add(annotation_pb.InteractRequest(reset=request), segment, changes=True)

    def mask(self, segment: int) -> annotation_pb.InteractRequest:
        """Return the action that asks for the present mask."""
        check_segment_number(segment)
        base_revision = self._session.state.cached_revision(segment)
        request = annotation_pb.GetMaskRequest(
            session_id=self._session.id, segment=segment, base_revision=base_revision
        )
        return self._add(annotation_pb.InteractRequest(get_mask=request), segment, changes=False)

    def read(self, response: annotation_pb.InteractResponse) -> Operation[Event | None]:
        """Convert a response to an event, and update the session's state.

        Returns:
            The event; None for a kind of event that is newer than this client.
        """
        action, kind = response.id, response.WhichOneof("event")
        if kind == "phase":
            return Phase(action, annotation_pb.Phase.Name(response.phase).removeprefix("PHASE_").lower())
        if kind is None:
            return None
        segment, changes = self._segments.pop(action, 1), action in self._changes
        self._changes.discard(action)
        event: Event
        if kind == "answer":
            if changes:
                self._session.state.record(response.answer, segment=segment)
                self._uncertain = False
            try:
                event = Answered(action, segment, (yield from self._session.mask(segment, response.answer)))
            except SixpointError as error:
                event = Failed(action, error)
        elif kind == "failure":
            failure = error_from_status(response.failure)
            self._uncertain = self._uncertain or (changes and not is_refusal(failure))
            event = Failed(action, failure)
        else:
            event = Superseded(action, response.superseded_by)
        self._session.state.uncertain = bool(self._changes) or self._uncertain
        return event

    def _fill(self, request: ChangeRequest, segment: int) -> ChangeRequest:
        # Behind another change of this stream, the revision that this one will meet is not yet known.
        is_revision_known = not self._changes and not self._uncertain
        revision = self._session.state.revision if is_revision_known else None
        return self._session.fill(request, segment, revision=revision)

    def _add(
        self, action: annotation_pb.InteractRequest, segment: int, *, changes: bool
    ) -> annotation_pb.InteractRequest:
        """Number an action and remember it until its answer."""
        if not self.is_open:
            raise FailedPrecondition("the stream is not open; open another with session.interact()")
        action.id = next(self._numbers)
        self._segments[action.id] = segment
        if changes:
            self._changes.add(action.id)
            self._session.state.uncertain = True
        return action
