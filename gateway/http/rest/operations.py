"""What an operation of the API is: its route, and what its document says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from fastapi import Response
from google.protobuf.message import Message

from gateway.core.access import Role
from gateway.core.runtime import DeadlineLimits
from gateway.http.calls import Call, Handler
from gateway.http.door import HttpRoute
from gateway.http.errors import HttpRefusal
from gateway.http.rest.messages import json_answer, read_request
from gateway.http.rest.schemas import Schema
from sixpoint.errors import StaleRevision

__all__ = ["BINARY", "Header", "Operation", "Parameter", "transcoded"]

_Request = TypeVar("_Request", bound=Message)

BINARY: Mapping[str, Any] = {"type": "string", "format": "binary"}
"""Schema of a body that is no JSON."""
_PRECONDITION_FAILED = 412


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
    """

    name: str
    description: str
    example: str


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
        media: Other media types of the answer, with their schemas.
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
    media: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
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
        status: Status code of the answer.
        location: Function of what is sent that returns its address, relative to that of the call.
    """

    async def handle(call: Call) -> Response:
        request = await read_request(call, kind, path=path, body=body)
        async with call.while_connected():
            response = await carry_out(request, call)
        resource = getattr(response, part) if part else response
        headers = {"location": location(resource)} if location else {}
        return await json_answer(resource, status=status, headers=headers)

    return handle


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
