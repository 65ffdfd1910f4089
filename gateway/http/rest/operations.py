"""What an operation of the API is: its route, and what its document says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, cast

from fastapi import Response
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from gateway.core.access import Principal, Role
from gateway.core.runtime import DeadlineLimits
from gateway.http.calls import Call, Handler
from gateway.http.door import HttpRoute
from gateway.http.errors import HttpRefusal
from gateway.http.rest.messages import NO_STORE, json_answer, read_request
from gateway.http.rest.schemas import Schema, schema_of
from sixpoint.errors import StaleRevision

__all__ = ["BINARY", "IDEMPOTENCY", "IF_MATCH", "Header", "Operation", "Parameter", "contract_operation", "transcoded"]

_Request = TypeVar("_Request", bound=Message)

BINARY: Mapping[str, Any] = {"type": "string", "format": "binary"}
"""Schema of a body that is no JSON."""
_PRECONDITION_FAILED, _NO_CONTENT = 412, 204


@dataclass(frozen=True)
class Parameter:
    """A parameter of the query that is in no message.

    Attributes:
        name: Its name.
        description: What it means.
        schema: Its JSON schema.
    """

    name: str
    description: str
    schema: Mapping[str, Any]


@dataclass(frozen=True)
class Header:
    """A header of a request.

    Attributes:
        name: Its name.
        description: What it means.
        example: A value.
        schema: Its JSON schema.
        required: Whether a request without it is refused.
    """

    name: str
    description: str
    example: str
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})
    required: bool = False


IF_MATCH = Header(
    "If-Match",
    "Revision of the session that the call was made for, as ETag; 412 if the session has changed.",
    '"3"',
    {"type": "string", "pattern": r'^(\*|"[0-9]{1,18}")$'},
)
IDEMPOTENCY = Header(
    "Idempotency-Key",
    "Request id, instead of the field request_id.",
    "6f1b3a",
    {"type": "string", "maxLength": 64},
)


@dataclass(frozen=True)
class Operation:
    """An operation of the API.

    Attributes:
        method: HTTP's method.
        path: Template of the path within the door; its parts are fields of the message.
        name: Name of the operation, for programs that are made from the document.
        summary: What it does, in a few words.
        handle: Function that carries out a call.
        role: Least role of its callers; None for everybody.
        deadlines: Deadline of its calls.
        short: Whether its calls take turns.
        description: What a reader needs besides.
        message: Message of the request; None if there is none.
        in_body: Whether the fields of the message that are not in the path come in the body.
        body: Other media types of the body, with their schemas.
        headers: Headers of the request.
        parameters: Further parameters of the query.
        status: Status code of the answer.
        answer: Model of the answer as JSON; None without one.
        others: Other status codes of answers that are no errors: what each says, and the model of its answer as JSON,
            None without one.
        media: Other media types of the answer, with their schemas.
        events: Events of an answer that is a stream of them, with the models of their data; "problem" is one of each.
        example: A body, as JSON.
    """

    method: str
    path: str
    name: str
    summary: str
    handle: Handler
    role: Role | None
    deadlines: DeadlineLimits
    short: bool = False
    description: str = ""
    message: type[Message] | None = None
    in_body: bool = False
    body: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    headers: Sequence[Header] = ()
    parameters: Sequence[Parameter] = ()
    status: int = 200
    answer: Schema | None = None
    others: Mapping[int, tuple[str, Schema | None]] = field(default_factory=dict)
    media: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    events: Mapping[str, Schema] = field(default_factory=dict)
    example: Mapping[str, Any] | None = None

    def route(self) -> HttpRoute:
        """Return the route."""
        return HttpRoute(self.method, self.path, _guarded(self.handle), self.role, self.deadlines, self.short)

    def with_handler(self, handle: Handler) -> Operation:
        """Return the operation with another function that carries out its calls."""
        return replace(self, handle=handle)


def transcoded(
    kind: type[_Request],
    carry_out: Callable[[_Request, Call], Awaitable[Message]],
    *,
    path: str,
    body: bool,
    part: str = "",
    status: int = 200,
    location: Callable[[Any], str] | None = None,
) -> Handler:
    """Return a handler that carries out a call of the contract.

    Args:
        kind: Message of the request.
        carry_out: Function that carries out the call.
        path: Template of the path.
        body: Whether the fields that are not in the path come in the body, else in the query.
        part: Field of the answer's message that is sent; empty for all of it.
        status: Status code of the answer; with 204 nothing is sent.
        location: Function of what is sent that returns its address, relative to that of the call.
    """

    async def handle(call: Call) -> Response:
        request = await read_request(call, kind, path=path, body=body)
        async with call.while_connected():
            response = await carry_out(request, call)
        if status == _NO_CONTENT:
            return Response(status_code=status, headers=dict(NO_STORE))
        resource = getattr(response, part) if part else response
        headers = {"location": location(resource)} if location else {}
        return await json_answer(resource, status=status, headers=headers)

    return handle


def contract_operation(
    method: str,
    path: str,
    name: str,
    summary: str,
    kind: type[_Request],
    carry_out: Callable[[_Request, Principal], Awaitable[Message]],
    role: Role,
    deadlines: DeadlineLimits,
    *,
    in_body: bool = False,
    part: str = "",
    status: int = 200,
    location: Callable[[Any], str] | None = None,
    short: bool = True,
    **more: Any,
) -> Operation:
    """Return the operation that is one call of the contract.

    Args:
        method: HTTP's method.
        path: Template of the path; its parts are fields of the request's message.
        name: Name of the operation.
        summary: What it does, in a few words.
        kind: Message of the request.
        carry_out: Function that carries out the call.
        role: Least role of its callers.
        deadlines: Deadline of its calls.
        in_body: Whether the fields that are not in the path come in the body.
        part: Field of the answer's message that is sent; empty for all of it.
        status: Status code of the answer; with 204 nothing is sent.
        location: Function of what is sent that returns its address, relative to that of the call.
        short: Whether its calls take turns.
        **more: Other attributes of the operation.
    """

    async def carry(request: _Request, call: Call) -> Message:
        return await carry_out(request, call.principal)

    handle = transcoded(kind, carry, path=path, body=in_body, part=part, status=status, location=location)
    answer = None if status == _NO_CONTENT else _answer_schema(kind, part)
    return Operation(
        method,
        path,
        name,
        summary,
        handle,
        role,
        deadlines,
        short=short,
        message=kind,
        in_body=in_body,
        status=status,
        answer=answer,
        **more,
    )


def _answer_schema(kind: type[Message], part: str) -> Schema:
    """The model of what is sent: each request of the contract has a response of its own."""
    request = cast("Descriptor", kind.DESCRIPTOR)
    response = request.file.message_types_by_name[f"{request.name.removesuffix('Request')}Response"]
    return schema_of(response.fields_by_name[part].message_type if part else response)


def _guarded(handle: Handler) -> Handler:
    """Say "precondition failed" to those who stated one."""

    async def guarded(call: Call) -> Response:
        try:
            return await handle(call)
        except StaleRevision as error:
            if "if-match" in call.request.headers:
                raise HttpRefusal(_PRECONDITION_FAILED, error) from None
            raise

    return guarded
