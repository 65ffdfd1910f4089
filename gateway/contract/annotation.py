"""The unary calls of ``sixpoint.v1.AnnotationService``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from gateway.contract.messages import read_change, read_mask_request, read_prompts, write_result
from gateway.core.access import Principal
from gateway.core.runtime import Deadline, Stage
from gateway.core.sessions import AnnotationResult, Engine
from sixpoint.v1 import annotation_service_pb2 as annotation_pb

__all__ = ["AnnotationCalls"]

_Response = TypeVar(
    "_Response",
    annotation_pb.AnnotateResponse,
    annotation_pb.UndoResponse,
    annotation_pb.RedoResponse,
    annotation_pb.ResetResponse,
    annotation_pb.GetMaskResponse,
)


class AnnotationCalls:
    """The unary calls of ``sixpoint.v1.AnnotationService``.

    Args:
        engine: Carries out calls on segments.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def annotate(
        self,
        request: annotation_pb.AnnotateRequest,
        principal: Principal,
        *,
        deadline: Deadline,
        on_stage: Callable[[Stage], None] = lambda _: None,
    ) -> annotation_pb.AnnotateResponse:
        """Start or correct an object.

        Args:
            request: The message.
            principal: Who makes the call.
            deadline: Moment by which the mask is needed.
            on_stage: Function called at the begin of each stage.
        """
        prompts = read_prompts(request.prompts)
        change = read_change(request, principal)
        result = await self._engine.annotate(change, prompts, deadline=deadline, on_stage=on_stage)
        return _answered(annotation_pb.AnnotateResponse(), result)

    async def undo(self, request: annotation_pb.UndoRequest, principal: Principal) -> annotation_pb.UndoResponse:
        """Undo the last step of a segment."""
        return _answered(annotation_pb.UndoResponse(), await self._engine.undo(read_change(request, principal)))

    async def redo(self, request: annotation_pb.RedoRequest, principal: Principal) -> annotation_pb.RedoResponse:
        """Redo the step that was undone last."""
        return _answered(annotation_pb.RedoResponse(), await self._engine.redo(read_change(request, principal)))

    async def reset(self, request: annotation_pb.ResetRequest, principal: Principal) -> annotation_pb.ResetResponse:
        """Undo all steps of a segment."""
        return _answered(annotation_pb.ResetResponse(), await self._engine.reset(read_change(request, principal)))

    async def get_mask(
        self, request: annotation_pb.GetMaskRequest, principal: Principal
    ) -> annotation_pb.GetMaskResponse:
        """Return the current mask of a segment."""
        result = await self._engine.mask(read_mask_request(request, principal))
        return _answered(annotation_pb.GetMaskResponse(), result)


def _answered(response: _Response, result: AnnotationResult) -> _Response:
    write_result(result, response.answer)
    return response
