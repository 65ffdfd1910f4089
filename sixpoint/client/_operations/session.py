"""The operations of a session: prompts, undo and redo, masks, and the session's log."""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from typing import TypeVar

import grpc
import numpy as np

from sixpoint.client._operations.client import ClientOperations, OpenedSession
from sixpoint.client._sansio import Call, Operation
from sixpoint.client._session_state import SessionState
from sixpoint.client.models import SessionInfo, StepInfo, read_session, read_step
from sixpoint.errors import InternalError, PromptError
from sixpoint.geometry import Geometry
from sixpoint.mask import Mask, cropped
from sixpoint.masks.labels import check_segment_number
from sixpoint.masks.objects import LabelledObject
from sixpoint.prompts import Box, Click, ExtremePoints, InitialMask, Lasso, Prompt, Scribble
from sixpoint.protocol import prompt_to_message
from sixpoint.v1 import annotation_service_pb2 as annotation_pb
from sixpoint.v1 import session_service_pb2 as session_pb
from sixpoint.volume import Volume

__all__ = ["ChangeRequest", "SessionOperations"]

ChangeRequest = TypeVar(
    "ChangeRequest",
    annotation_pb.AnnotateRequest,
    annotation_pb.UndoRequest,
    annotation_pb.RedoRequest,
    annotation_pb.ResetRequest,
)
"""A request that changes a segment."""

_ChangeResponse = TypeVar(
    "_ChangeResponse",
    annotation_pb.AnnotateResponse,
    annotation_pb.UndoResponse,
    annotation_pb.RedoResponse,
    annotation_pb.ResetResponse,
)
_Request = TypeVar("_Request")
_Response = TypeVar("_Response")


class SessionOperations:
    """The operations of a session, the same for both drivers.

    Args:
        client: Operations of the client that opened the session.
        opened: The session.

    Attributes:
        id: Id of the session on the gateway.
        geometry: Geometry of the session's image.
        volume: The session's image, if the client has it in memory.
        image_digest: Digest of the session's image.
        state: State of the session as far as the client knows it.
    """

    def __init__(self, client: ClientOperations, opened: OpenedSession) -> None:
        self.client: ClientOperations = client
        self.id: str = opened.info.id
        self.geometry: Geometry = opened.geometry
        self.volume: Volume | None = opened.volume
        self.image_digest: str = opened.info.image_digest
        self.state: SessionState = SessionState(opened.info, opened.geometry)

    def annotate(self, prompts: Sequence[Prompt], segment: int) -> Operation[Mask]:
        """Send prompts for a segment, and return its new mask."""
        return self._change(self.client.stubs.annotation.Annotate, self.annotate_request(prompts), segment)

    def annotate_request(self, prompts: Sequence[Prompt]) -> annotation_pb.AnnotateRequest:
        """Convert prompts to a request.

        Raises:
            PromptError: One of them is no prompt, a mask or a scribble lies on another grid than the image, or a
                scribble exceeds the image.
        """
        placed = _checked(prompts)
        for number, prompt in enumerate(placed):
            # The grid of a mask or scribble is not sent, so the gateway cannot compare it with the image's.
            if isinstance(prompt, InitialMask):
                placed[number] = mask = prompt.on_grid(self.geometry)
                mask.to_index(self.geometry)
            elif isinstance(prompt, Scribble | Lasso):
                placed[number] = prompt.on_grid(self.geometry)
        return annotation_pb.AnnotateRequest(prompts=map(prompt_to_message, placed))

    def undo(self, segment: int) -> Operation[Mask]:
        """Undo the last step of a segment, and return its new mask."""
        return self._change(self.client.stubs.annotation.Undo, annotation_pb.UndoRequest(), segment)

    def redo(self, segment: int) -> Operation[Mask]:
        """Redo the next step of a segment, and return its new mask."""
        return self._change(self.client.stubs.annotation.Redo, annotation_pb.RedoRequest(), segment)

    def reset(self, segment: int) -> Operation[Mask]:
        """Undo all steps of a segment, and return its empty mask."""
        return self._change(self.client.stubs.annotation.Reset, annotation_pb.ResetRequest(), segment)

    def mask(self, segment: int, answer: annotation_pb.Answer | None = None) -> Operation[Mask]:
        """Return the mask of an answer; without an answer, ask the gateway for the segment's present mask."""
        check_segment_number(segment)
        if answer is None:
            base_revision = self.state.cached_revision(segment)
            answer = (yield from self._get_mask(segment, base_revision=base_revision)).answer
        try:
            return self.state.mask(answer, segment=segment)
        except InternalError:
            if not answer.mask.base_revision:
                raise
        # The change does not fit the cached mask: ask for the whole one.
        self.state.discard_mask(segment)
        response = yield from self._get_mask(segment, base_revision=0)
        return self.state.mask(response.answer, segment=segment)

    def labels(self) -> Operation[Mask]:
        """Return all segments as one array of labels."""
        yield from self.refresh()
        labels = np.zeros(self.geometry.shape, np.uint8)
        last = Mask(labels, self.geometry)
        for number in sorted(self.state.segments):
            last = yield from self.mask(number)
            labels[last.array != 0] = number
        names = {number: segment.name for number, segment in self.state.segments.items() if segment.name}
        return Mask(
            labels,
            self.geometry,
            last.model,
            last.model_version,
            self.state.revision,
            names=names,
            image_digest=self.image_digest,
        )

    def objects(self) -> Operation[list[LabelledObject]]:
        """Return all segments as objects of their own, which may overlap."""
        yield from self.refresh()
        result = []
        for number in sorted(self.state.segments):
            mask = yield from self.mask(number)
            voxels, lower = cropped(mask.array.view(np.bool_))
            name = self.state.segments[number].name
            # A view would hold the whole array.
            result.append(LabelledObject(number, name, voxels.copy(), lower, mask.model, mask.model_version))
        return result

    def steps(self, segment: int | None) -> Operation[list[StepInfo]]:
        """List the steps of a segment, or of all."""
        if segment is not None:
            check_segment_number(segment)
        steps: list[StepInfo] = []
        page_token = ""
        while True:
            request = session_pb.ListStepsRequest(session_id=self.id, segment=segment or 0, page_token=page_token)
            response = yield from self._call(self.client.stubs.sessions.ListSteps, request)
            steps += [read_step(message) for message in response.steps]
            page_token = response.next_page_token
            if not page_token:
                return steps

    def update(self, *, model: str = "", names: Sequence[tuple[int, str]] = ()) -> Operation[None]:
        """Change the session's model, or the names of segments by number."""
        for number, _ in names:
            check_segment_number(number)
        if self.state.uncertain:
            yield from self.refresh()
        request = session_pb.UpdateSessionRequest(
            session_id=self.id,
            model=model,
            segments=[session_pb.Segment(number=number, name=name) for number, name in names],
            revision=self.state.revision,
            request_id=uuid.uuid4().hex,
        )
        with self.state.changing():
            response = yield from self._call(self.client.stubs.sessions.UpdateSession, request)
        self.state.update(read_session(response.session))

    def fork(self, segment: int | None, step: int) -> Operation[OpenedSession]:
        """Open a session with the same steps; or, for one segment, with those up to ``step``."""
        if segment is not None:
            check_segment_number(segment)
        request = session_pb.ForkSessionRequest(
            session_id=self.id, segment=segment or 0, step=step, request_id=uuid.uuid4().hex
        )
        response = yield from self._call(self.client.stubs.sessions.ForkSession, request)
        return OpenedSession(read_session(response.session), self.geometry, self.volume)

    def refresh(self) -> Operation[SessionInfo]:
        """Ask the gateway for the session's present state."""
        request = session_pb.GetSessionRequest(session_id=self.id)
        response = yield from self._call(self.client.stubs.sessions.GetSession, request)
        info = read_session(response.session)
        self.state.update(info)
        self.state.uncertain = False
        return info

    def close(self) -> Operation[None]:
        """Close the session, without retries: one that stays open expires."""
        return self.client.close_session(self.id, repeatable=False)

    def fill(self, request: ChangeRequest, segment: int, *, revision: int | None) -> ChangeRequest:
        """Complete a request that changes a segment.

        Args:
            request: Request to complete.
            segment: Number of the segment.
            revision: Revision that the change is meant for; None for whichever is the newest.

        Raises:
            InvalidArgument: No segment can have this number.
        """
        check_segment_number(segment)
        request.session_id, request.segment = self.id, segment
        request.base_revision = self.state.cached_revision(segment)
        request.request_id = uuid.uuid4().hex
        if revision is not None:
            request.revision = revision
        return request

    def _change(
        self, method: grpc.UnaryUnaryMultiCallable[ChangeRequest, _ChangeResponse], request: ChangeRequest, segment: int
    ) -> Operation[Mask]:
        if self.state.uncertain:
            yield from self.refresh()
        self.fill(request, segment, revision=self.state.revision)
        with self.state.changing():
            response = yield from self._call(method, request)
        self.state.record(response.answer, segment=segment)
        return (yield from self.mask(segment, response.answer))

    def _get_mask(
        self, segment: int, *, base_revision: int
    ) -> Call[annotation_pb.GetMaskRequest, annotation_pb.GetMaskResponse]:
        request = annotation_pb.GetMaskRequest(session_id=self.id, segment=segment, base_revision=base_revision)
        return self._call(self.client.stubs.annotation.GetMask, request)

    def _call(
        self, method: grpc.UnaryUnaryMultiCallable[_Request, _Response], request: _Request
    ) -> Call[_Request, _Response]:
        """A call that uploads the image again if the gateway has lost it and this client has it in memory."""
        volume = self.volume
        restore_image = None if volume is None else lambda: self.client.upload_volume(volume)
        return Call(method, request, self.client.timeout.call, restore_image=restore_image)


def _checked(prompts: Sequence[object]) -> list[Prompt]:
    """Return the prompts.

    Raises:
        PromptError: One of them is no prompt.
    """
    checked: list[Prompt] = []
    for prompt in prompts:
        if not isinstance(prompt, ExtremePoints | Box | Click | InitialMask | Scribble | Lasso):
            if isinstance(prompt, Mask | np.ndarray):
                advice = "give sixpoint.InitialMask.of(mask) to correct a mask, or sixpoint.Scribble(mask)"
            elif isinstance(prompt, list | tuple):
                advice = (
                    "give points as sixpoint.ExtremePoints(points), and several prompts one by one: annotate(*prompts)"
                )
            elif isinstance(prompt, str | os.PathLike):
                advice = "sixpoint.read_points(path) reads points from a file"
            else:
                advice = "see sixpoint.Prompt"
            raise PromptError(
                f"expected ExtremePoints, Box, Click, Scribble, Lasso or InitialMask as a prompt, got "
                f"{type(prompt).__name__}: {advice}"
            )
        checked.append(prompt)
    return checked
