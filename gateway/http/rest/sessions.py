"""Models, sessions, prompts and masks: calls of the contract, as operations on resources."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from fastapi import Response
from google.protobuf.message import Message

from gateway.contract import AnnotationCalls, ModelCalls, SessionCalls
from gateway.core.access import Role
from gateway.core.runtime import DeadlineLimits
from gateway.http.calls import Call, Handler
from gateway.http.rest.examples import FORK, PROMPTS, SESSION, SESSION_CHANGE
from gateway.http.rest.masks import BOX_MEDIA_TYPE, FILE_FORMS, MASK_FORMS, MaskReplies
from gateway.http.rest.messages import NO_STORE, read_request
from gateway.http.rest.operations import BINARY, Header, Operation, Parameter, transcoded
from gateway.http.rest.preconditions import choose_form, entity_tag, is_current
from gateway.http.rest.schemas import schema_of
from sixpoint.v1 import annotation_service_pb2 as annotation_pb
from sixpoint.v1 import model_service_pb2 as model_pb
from sixpoint.v1 import session_service_pb2 as session_pb

__all__ = ["annotation_operations", "model_operations", "session_operations"]

_Request = TypeVar("_Request", bound=Message)

_IF_MATCH = Header(
    "If-Match", "Revision of the session that the call was made for, as ETag; 412 if the session has changed.", '"3"'
)
_IDEMPOTENCY = Header("Idempotency-Key", "Request id, instead of the field request_id.", "6f1b3a")
_FILES = {media_type: BINARY for _, media_type in FILE_FORMS}
_FORMAT = Parameter(
    "format",
    "Form of the answer, instead of the header Accept.",
    {"type": "string", "enum": [name for name, _ in MASK_FORMS]},
)
_FILE_FORMAT = Parameter(
    "format",
    "Kind of file, instead of the header Accept.",
    {"type": "string", "enum": [name for name, _ in FILE_FORMS]},
)


def model_operations(calls: ModelCalls, deadlines: DeadlineLimits) -> Sequence[Operation]:
    """The operations on models."""

    async def list_models(request: model_pb.ListModelsRequest, call: Call) -> Message:
        return calls.list_models(request, call.principal)

    async def get_model(request: model_pb.GetModelRequest, call: Call) -> Message:
        return calls.get_model(request, call.principal)

    return [
        Operation(
            "GET",
            "/models",
            "listModels",
            "List the models that match all filters that are set",
            transcoded(model_pb.ListModelsRequest, list_models, path="/models", body=False),
            Role.VIEWER,
            deadlines,
            short=True,
            message=model_pb.ListModelsRequest,
            answer=schema_of(model_pb.ListModelsResponse.DESCRIPTOR),
        ),
        Operation(
            "GET",
            "/models/{name}",
            "getModel",
            "Describe a model",
            transcoded(model_pb.GetModelRequest, get_model, path="/models/{name}", body=False, part="model"),
            Role.VIEWER,
            deadlines,
            short=True,
            message=model_pb.GetModelRequest,
            answer=schema_of(model_pb.Model.DESCRIPTOR),
        ),
    ]


def session_operations(calls: SessionCalls, replies: MaskReplies, deadlines: DeadlineLimits) -> Sequence[Operation]:
    """The operations on sessions."""

    def operation(
        method: str,
        path: str,
        name: str,
        summary: str,
        kind: type[_Request],
        carry_out: Callable[[_Request, Any], Awaitable[Message]],
        **more: Any,
    ) -> Operation:
        body, part, status = more.get("in_body", False), more.pop("part", ""), more.get("status", 200)
        location = more.pop("location", None)
        kinds = {"session": session_pb.Session, "": more.pop("whole", None)}

        async def carry(request: _Request, call: Call) -> Message:
            return await carry_out(request, call.principal)

        handle = transcoded(kind, carry, path=path, body=body, part=part, status=status, location=location)
        answer = schema_of(kinds[part].DESCRIPTOR) if kinds[part] else None
        role = more.pop("role", Role.ANNOTATOR)
        return Operation(method, path, name, summary, handle, role, deadlines, message=kind, answer=answer, **more)

    session = "/sessions/{session_id}"
    return [
        operation(
            "POST",
            "/sessions",
            "createSession",
            "Open a session on an uploaded image",
            session_pb.CreateSessionRequest,
            calls.create_session,
            in_body=True,
            part="session",
            status=201,
            location=lambda made: f"sessions/{made.id}",
            short=True,
            headers=[_IDEMPOTENCY],
            example=SESSION,
        ),
        operation(
            "GET",
            "/sessions",
            "listSessions",
            "List your open sessions, last used first",
            session_pb.ListSessionsRequest,
            calls.list_sessions,
            whole=session_pb.ListSessionsResponse,
            role=Role.VIEWER,
            short=True,
        ),
        operation(
            "GET",
            session,
            "getSession",
            "Describe a session; the ETag is its revision",
            session_pb.GetSessionRequest,
            calls.get_session,
            part="session",
            role=Role.VIEWER,
            short=True,
        ),
        operation(
            "PATCH",
            session,
            "updateSession",
            "Change a session's model, or the names of its segments",
            session_pb.UpdateSessionRequest,
            calls.update_session,
            in_body=True,
            part="session",
            headers=[_IF_MATCH, _IDEMPOTENCY],
            example=SESSION_CHANGE,
        ),
        Operation(
            "DELETE",
            session,
            "closeSession",
            "Close a session; closing it again is no error",
            _close(calls, session),
            Role.ANNOTATOR,
            deadlines,
            message=session_pb.CloseSessionRequest,
            status=204,
        ),
        operation(
            "POST",
            f"{session}/fork",
            "forkSession",
            "Open a new session that starts from this one's steps",
            session_pb.ForkSessionRequest,
            calls.fork_session,
            in_body=True,
            part="session",
            status=201,
            location=lambda made: f"../{made.id}",
            short=True,
            headers=[_IDEMPOTENCY],
            example=FORK,
        ),
        operation(
            "GET",
            f"{session}/steps",
            "listSteps",
            "List the steps of a session, including undone ones that can be redone",
            session_pb.ListStepsRequest,
            calls.list_steps,
            whole=session_pb.ListStepsResponse,
            role=Role.VIEWER,
            short=True,
        ),
        Operation(
            "GET",
            f"{session}/mask",
            "saveMasks",
            "Save all segments of a session as one label map",
            _label_map(replies, f"{session}/mask"),
            Role.VIEWER,
            deadlines,
            description="The number of a segment is its label. Where segments overlap, the one with the highest number "
            "wins. The file lies on the grid of the image.",
            message=session_pb.GetSessionRequest,
            parameters=[_FILE_FORMAT],
            media=_FILES,
        ),
    ]


def annotation_operations(calls: AnnotationCalls, replies: MaskReplies, deadlines: DeadlineLimits) -> list[Operation]:
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
                headers=[_IF_MATCH, _IDEMPOTENCY],
                parameters=[_FORMAT],
                answer=schema_of(annotation_pb.Answer.DESCRIPTOR),
                media={BOX_MEDIA_TYPE: BINARY, **_FILES},
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
            parameters=[_FORMAT],
            answer=schema_of(annotation_pb.Answer.DESCRIPTOR),
            media={BOX_MEDIA_TYPE: BINARY, **_FILES},
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


def _close(calls: SessionCalls, path: str) -> Handler:
    async def handle(call: Call) -> Response:
        request = await read_request(call, session_pb.CloseSessionRequest, path=path, body=False)
        await calls.close_session(request, call.principal)
        return Response(status_code=204, headers=dict(NO_STORE))

    return handle


def _label_map(replies: MaskReplies, path: str) -> Handler:
    async def handle(call: Call) -> Response:
        form = choose_form(call.request, FILE_FORMS)
        request = await read_request(call, session_pb.GetSessionRequest, path=path, body=False)
        async with call.while_connected():
            return await replies.label_map(call, request.session_id, form=form)

    return handle
