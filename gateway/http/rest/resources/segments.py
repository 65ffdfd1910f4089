"""Segments: prompts, undo and redo, and their masks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from fastapi import Response
from google.protobuf.message import Message

from gateway.contract import AnnotationCalls
from gateway.core.access import Role
from gateway.core.runtime import DeadlineLimits
from gateway.http.calls import Call, Handler
from gateway.http.rest.examples import PROMPTS
from gateway.http.rest.masks import BOX_MEDIA_TYPE, FILE_FORMS, MASK_FORMS, MaskReplies
from gateway.http.rest.messages import NO_STORE, read_request
from gateway.http.rest.operations import BINARY, IDEMPOTENCY, IF_MATCH, Header, Operation, Parameter
from gateway.http.rest.preconditions import choose_form, entity_tag, is_current
from gateway.http.rest.schemas import schema_of
from sixpoint.v1 import annotation_service_pb2 as annotation_pb

__all__ = ["segment_operations"]

_Request = TypeVar("_Request", bound=Message)

_MEDIA = {BOX_MEDIA_TYPE: BINARY, **{media_type: BINARY for _, media_type in FILE_FORMS}}
_FORMAT = Parameter(
    "format",
    "Form of the answer, instead of the header Accept.",
    {"type": "string", "enum": [name for name, _ in MASK_FORMS]},
)


def segment_operations(calls: AnnotationCalls, replies: MaskReplies, deadlines: DeadlineLimits) -> list[Operation]:
    """The operations on segments."""
    segment = "/sessions/{session_id}/segments/{segment}"

    async def annotate(request: annotation_pb.AnnotateRequest, call: Call) -> Message:
        return await calls.annotate(request, call.principal, deadline=call.deadline)

    def by_principal(carry_out: Callable[[_Request, Any], Awaitable[Message]]) -> Any:
        async def carry(request: _Request, call: Call) -> Message:
            return await carry_out(request, call.principal)

        return carry

    changes: list[tuple[str, str, str, type[Message], Any, dict[str, Any] | None]] = [
        ("prompts", "annotate", "Start or correct an object", annotation_pb.AnnotateRequest, annotate, PROMPTS),
        ("undo", "undo", "Undo the last step", annotation_pb.UndoRequest, by_principal(calls.undo), None),
        ("redo", "redo", "Redo the next step", annotation_pb.RedoRequest, by_principal(calls.redo), None),
        ("reset", "reset", "Undo all steps", annotation_pb.ResetRequest, by_principal(calls.reset), None),
    ]
    operations = []
    for last, name, summary, kind, carry_out, example in changes:
        path = f"{segment}/{last}"
        operations.append(
            Operation(
                "POST",
                path,
                name,
                summary,
                _masked(replies, kind, carry_out, path=path, body=True),
                Role.ANNOTATOR,
                deadlines,
                message=kind,
                in_body=True,
                headers=[IF_MATCH, IDEMPOTENCY],
                parameters=[_FORMAT],
                answer=schema_of(annotation_pb.Answer.DESCRIPTOR),
                media=_MEDIA,
                example=example,
            )
        )
    path = f"{segment}/mask"
    operations.append(
        Operation(
            "GET",
            path,
            "getMask",
            "Get the current mask of a segment",
            _masked(replies, annotation_pb.GetMaskRequest, by_principal(calls.get_mask), path=path, body=False),
            Role.VIEWER,
            deadlines,
            message=annotation_pb.GetMaskRequest,
            headers=[Header("If-None-Match", "ETag of the mask that you have; 304 if it is the current one.", '"3"')],
            others={304: ("The mask that you have is the current one", None)},
            parameters=[_FORMAT],
            answer=schema_of(annotation_pb.Answer.DESCRIPTOR),
            media=_MEDIA,
        )
    )
    return operations


def _masked(
    replies: MaskReplies,
    kind: type[Any],
    carry_out: Callable[[Any, Call], Awaitable[Any]],
    *,
    path: str,
    body: bool,
) -> Handler:
    """Return a handler whose answer is a mask, in the form that the caller asks for."""

    async def handle(call: Call) -> Response:
        form = choose_form(call.request, MASK_FORMS)
        request = await read_request(call, kind, path=path, body=body)
        async with call.while_connected():
            answer = (await carry_out(request, call)).answer
            if not body and is_current(call.request, answer.revision):
                return Response(status_code=304, headers={**NO_STORE, "etag": entity_tag(answer.revision)})
            return await replies.reply(call, request.session_id, answer, form=form)

    return handle
