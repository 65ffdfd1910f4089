"""The plans of the twin sessions: prompts and ways back, in order, each carried out once; masks put together."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from google.protobuf.message import Message

from sixpoint.client._operations.client import BaseClient, Opened
from sixpoint.client._sansio import Call, Plan, Work
from sixpoint.client._session_state import Known
from sixpoint.client.models import SegmentInfo, SessionInfo, StepInfo, read_session, read_step
from sixpoint.errors import (
    Aborted,
    FailedPrecondition,
    ImageNotFound,
    InternalError,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    SixpointError,
)
from sixpoint.geometry import Geometry
from sixpoint.mask import Mask
from sixpoint.prompts import InitialMask, Prompt
from sixpoint.protocol.converters import prompt_to_message
from sixpoint.v1 import annotation_service_pb2 as annotation
from sixpoint.v1 import session_service_pb2 as sessions
from sixpoint.volume import check_suffix

__all__ = ["REFUSALS", "BaseSession"]

REFUSALS = (InvalidArgument, FailedPrecondition, NotFound, Aborted, ResourceExhausted)
"""Errors after which it is certain that nothing was changed."""


class BaseSession:
    """What both sessions are made of.

    Attributes:
        id: Its id on the gateway.
        geometry: Where its image's voxels lie.
        volume: The image; None in a session that was resumed without it.
        keep: Whether it stays open when the ``with`` block ends.
        known: What this client was told of it.
    """

    def __init__(self, client: BaseClient, opened: Opened, *, keep: bool) -> None:
        self.id = opened.info.id
        self.geometry: Geometry = opened.geometry
        self.volume = opened.volume
        self.keep = keep
        self._base = client
        self.known = Known(opened.info, opened.geometry)

    @property
    def model(self) -> str:
        """Name of its model, as far as this client knows."""
        return self.known.model

    @property
    def revision(self) -> int:
        """Number of its changes, as far as this client knows."""
        return self.known.revision

    @property
    def segments(self) -> tuple[SegmentInfo, ...]:
        """The objects of the session by number, as far as this client knows."""
        return tuple(one for _, one in sorted(self.known.segments.items()))

    def annotate_plan(self, prompts: Sequence[Prompt], segment: int) -> Plan[Mask]:
        """Prompts in, a mask out."""
        return (yield from self._change_plan("Annotate", self.annotate_request(prompts), segment))

    def annotate_request(self, prompts: Sequence[Prompt]) -> annotation.AnnotateRequest:
        """The request that shows prompts.

        Raises:
            PromptError: When a mask to correct lies on another grid than the image.
        """
        for prompt in prompts:
            # Its grid does not travel: only here can it be told from the image's.
            if isinstance(prompt, InitialMask):
                prompt.to_index(self.geometry)
        return annotation.AnnotateRequest(prompts=map(prompt_to_message, prompts))

    def step_plan(self, method: str, segment: int) -> Plan[Mask]:
        """``Undo``, ``Redo`` or ``Reset``."""
        kinds: dict[str, Callable[[], Message]] = {
            "Undo": annotation.UndoRequest,
            "Redo": annotation.RedoRequest,
            "Reset": annotation.ResetRequest,
        }
        return (yield from self._change_plan(method, kinds[method](), segment))

    def mask_plan(self, segment: int) -> Plan[Mask]:
        """The mask of a segment as it stands."""
        base = self.known.base(segment)
        request = annotation.GetMaskRequest(session_id=self.id, segment=segment, base_revision=base)
        response = yield from self._call_plan(Call("GetMask", request, self._base.timeout.call))
        return (yield from self.answer_plan(response.answer, segment))

    def labels_plan(self) -> Plan[Mask]:
        """All segments as one array of labels."""
        yield from self.refresh_plan()
        labels = np.zeros(self.geometry.shape, np.uint8)
        last = Mask(labels, self.geometry, revision=self.revision)
        for one in self.segments:
            last = yield from self.mask_plan(one.number)
            labels[last.array != 0] = one.number
        return Mask(labels, self.geometry, last.model, last.model_version, self.revision)

    def save_plan(self, path: str | os.PathLike[str], segment: int | None) -> Plan[None]:
        """Write a segment's mask, or the labels of all."""
        check_suffix(path)
        mask = yield from (self.labels_plan() if segment is None else self.mask_plan(segment))
        yield Work(lambda: mask.save(path))

    def steps_plan(self, segment: int | None) -> Plan[list[StepInfo]]:
        """The log."""
        request = sessions.ListStepsRequest(session_id=self.id, segment=segment or 0)
        response = yield Call("ListSteps", request, self._base.timeout.call)
        return [read_step(message) for message in response.steps]

    def update_plan(self, *, model: str = "", names: Sequence[tuple[int, str]] = ()) -> Plan[None]:
        """Another model, or other names."""
        segments = [sessions.Segment(number=number, name=name) for number, name in names]
        yield from self._sure_plan()
        request = sessions.UpdateSessionRequest(
            session_id=self.id, model=model, segments=segments, revision=self.revision, request_id=uuid.uuid4().hex
        )
        response = yield from self._certain_plan(Call("UpdateSession", request, self._base.timeout.call))
        self.known.update(read_session(response.session))

    def fork_plan(self, segment: int | None, step: int) -> Plan[Opened]:
        """A session that stands where this one stands, or stood."""
        request = sessions.ForkSessionRequest(
            session_id=self.id, segment=segment or 0, step=step, request_id=uuid.uuid4().hex
        )
        response = yield Call("ForkSession", request, self._base.timeout.call)
        return Opened(read_session(response.session), self.geometry, self.volume)

    def refresh_plan(self) -> Plan[SessionInfo]:
        """How the session stands now."""
        request = sessions.GetSessionRequest(session_id=self.id)
        response = yield Call("GetSession", request, self._base.timeout.call)
        info = read_session(response.session)
        self.known.update(info)
        self.known.unsure = False
        return info

    def close_plan(self) -> Plan[None]:
        """Close it; one that is gone is no error."""
        request = sessions.CloseSessionRequest(session_id=self.id)
        yield Call("CloseSession", request, self._base.timeout.call, safe=False)

    def _change_plan(self, method: str, request: Any, segment: int) -> Plan[Mask]:
        yield from self._sure_plan()
        request.session_id, request.segment, request.base_revision = self.id, segment, self.known.base(segment)
        request.revision, request.request_id = self.revision, uuid.uuid4().hex
        response = yield from self._certain_plan(Call(method, request, self._base.timeout.call))
        self.known.learn(response.answer, segment=segment)
        return (yield from self.answer_plan(response.answer, segment))

    def answer_plan(self, answer: annotation.Answer, segment: int) -> Plan[Mask]:
        """The mask of an answer; when what changed does not fit the mask that is here, the whole one is asked for."""
        try:
            return self.known.mask(answer, segment=segment)
        except InternalError:
            if not answer.mask.base_revision:
                raise
        self.known.forget(segment)
        request = annotation.GetMaskRequest(session_id=self.id, segment=segment)
        response = yield from self._call_plan(Call("GetMask", request, self._base.timeout.call))
        return self.known.mask(response.answer, segment=segment)

    def _sure_plan(self) -> Plan[None]:
        if self.known.unsure:
            yield from self.refresh_plan()

    def _certain_plan(self, call: Call) -> Plan[Any]:
        """Make a change, and remember when nobody knows whether it was made."""
        self.known.unsure = True
        try:
            response = yield from self._call_plan(call)
        except SixpointError as error:
            self.known.unsure = not isinstance(error, REFUSALS)
            raise
        self.known.unsure = False
        return response

    def _call_plan(self, call: Call) -> Plan[Any]:
        """Make a call; when the gateway has lost the image and it is at hand here, bring it again first."""
        try:
            return (yield call)
        except ImageNotFound:
            if self.volume is None:
                raise
            yield from self._base.upload_plan(self.volume, None)
            return (yield call)
