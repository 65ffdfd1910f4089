"""Sessions: opened, read, changed, forked and closed; and all their segments as one label map."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import Response

from gateway.contract import SessionCalls
from gateway.core.access import Role
from gateway.core.runtime import DeadlineLimits
from gateway.http.calls import Call, Handler
from gateway.http.rest.examples import FORK, SESSION, SESSION_CHANGE
from gateway.http.rest.masks import FILE_FORMS, MaskReplies
from gateway.http.rest.messages import read_request
from gateway.http.rest.operations import BINARY, IDEMPOTENCY, IF_MATCH, Operation, Parameter, contract_operation
from gateway.http.rest.preconditions import choose_form
from sixpoint.v1 import session_service_pb2 as session_pb

__all__ = ["session_operations"]

_SESSION = "/sessions/{session_id}"
_FILES = {media_type: BINARY for _, media_type in FILE_FORMS}
_FILE_FORMAT = Parameter(
    "format",
    "Kind of file, instead of the header Accept.",
    {"type": "string", "enum": [name for name, _ in FILE_FORMS]},
)


def session_operations(calls: SessionCalls, replies: MaskReplies, deadlines: DeadlineLimits) -> Sequence[Operation]:
    """The operations on sessions."""
    return [
        *_opening(calls, deadlines),
        *_reading(calls, deadlines),
        *_changing(calls, deadlines),
        _saving(replies, deadlines),
    ]


def _opening(calls: SessionCalls, deadlines: DeadlineLimits) -> list[Operation]:
    return [
        contract_operation(
            "POST",
            "/sessions",
            "createSession",
            "Open a session on an uploaded image",
            session_pb.CreateSessionRequest,
            calls.create_session,
            Role.ANNOTATOR,
            deadlines,
            in_body=True,
            part="session",
            status=201,
            location=lambda made: f"sessions/{made.id}",
            headers=[IDEMPOTENCY],
            example=SESSION,
        ),
        contract_operation(
            "POST",
            f"{_SESSION}/fork",
            "forkSession",
            "Open a new session that starts from this one's steps",
            session_pb.ForkSessionRequest,
            calls.fork_session,
            Role.ANNOTATOR,
            deadlines,
            in_body=True,
            part="session",
            status=201,
            location=lambda made: f"../{made.id}",
            headers=[IDEMPOTENCY],
            example=FORK,
        ),
    ]


def _reading(calls: SessionCalls, deadlines: DeadlineLimits) -> list[Operation]:
    return [
        contract_operation(
            "GET",
            "/sessions",
            "listSessions",
            "List your open sessions, last used first",
            session_pb.ListSessionsRequest,
            calls.list_sessions,
            Role.VIEWER,
            deadlines,
        ),
        contract_operation(
            "GET",
            _SESSION,
            "getSession",
            "Describe a session; the ETag is its revision",
            session_pb.GetSessionRequest,
            calls.get_session,
            Role.VIEWER,
            deadlines,
            part="session",
        ),
        contract_operation(
            "GET",
            f"{_SESSION}/steps",
            "listSteps",
            "List the steps of a session, including undone ones that can be redone",
            session_pb.ListStepsRequest,
            calls.list_steps,
            Role.VIEWER,
            deadlines,
        ),
    ]


def _changing(calls: SessionCalls, deadlines: DeadlineLimits) -> list[Operation]:
    # They wait for calls on their session, so they take no turns.
    return [
        contract_operation(
            "PATCH",
            _SESSION,
            "updateSession",
            "Change a session's model, or the names of its segments",
            session_pb.UpdateSessionRequest,
            calls.update_session,
            Role.ANNOTATOR,
            deadlines,
            in_body=True,
            part="session",
            short=False,
            headers=[IF_MATCH, IDEMPOTENCY],
            example=SESSION_CHANGE,
        ),
        contract_operation(
            "DELETE",
            _SESSION,
            "closeSession",
            "Close a session; closing it again is no error",
            session_pb.CloseSessionRequest,
            calls.close_session,
            Role.ANNOTATOR,
            deadlines,
            status=204,
            short=False,
        ),
    ]


def _saving(replies: MaskReplies, deadlines: DeadlineLimits) -> Operation:
    path = f"{_SESSION}/mask"
    return Operation(
        "GET",
        path,
        "saveMasks",
        "Save all segments of a session as one label map",
        _label_map(replies, path),
        Role.VIEWER,
        deadlines,
        description="The number of a segment is its label. Where segments overlap, the one with the highest number "
        "wins. The file lies on the grid of the image.",
        message=session_pb.GetSessionRequest,
        parameters=[_FILE_FORMAT],
        media=_FILES,
    )


def _label_map(replies: MaskReplies, path: str) -> Handler:
    async def handle(call: Call) -> Response:
        form = choose_form(call.request, FILE_FORMS)
        request = await read_request(call, session_pb.GetSessionRequest, path=path, body=False)
        async with call.while_connected():
            return await replies.label_map(call, request.session_id, form=form)

    return handle
