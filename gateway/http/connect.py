"""The unary calls of the contract for browsers: Connect's protocol, with the roles, turns and limits of gRPC."""

from __future__ import annotations

import asyncio
import base64
import inspect
import json
import re
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import Request, Response
from google.protobuf import json_format
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from gateway.core.access import Role
from gateway.core.runtime import Deadline, DeadlineLimits
from gateway.http.calls import Call, Handler
from gateway.http.door import CallerAddress, Door, HttpRoute
from gateway.http.errors import HttpRefusal, error_headers, with_frame_advice
from gateway.http.forms import MAX_FIELD_BYTES, read_content
from sixpoint.errors import InvalidArgument
from sixpoint.protocol.status import error_to_status, status_code

__all__ = ["connect_door"]

_PROTO, _JSON = "application/proto", "application/json"
_NAMES = {"ListDatasetImages": "list_images"}
_LARGE_BYTES = 2**14


def connect_door(
    services: Sequence[tuple[ServiceDescriptor, object]],
    *,
    roles: Mapping[str, Role],
    is_short: Callable[[str], bool],
    deadlines: DeadlineLimits,
) -> Door:
    """Build the door: each unary call is a route.

    Args:
        services: Each service, with what carries out its unary calls.
        roles: Least role for each call, by its full name.
        is_short: Function of a call's full name that tells whether it takes turns.
        deadlines: Deadline of the calls.
    """
    routes = []
    for service, calls in services:
        for method in service.methods:
            if not (method.client_streaming or method.server_streaming):
                path = f"/{service.full_name}/{method.name}"
                handle = _handler(method, calls, deadlines)
                routes.append(HttpRoute("POST", path, handle, roles[path], deadlines, is_short(path)))
    return Door("connect", "browsers and programs (Connect)", routes, at_root=True, error_form=_error, guide=_guide)


def _handler(method: MethodDescriptor, calls: object, deadlines: DeadlineLimits) -> Handler:
    kind = GetMessageClass(method.input_type)
    name = _NAMES.get(method.name) or re.sub(r"(?<!^)(?=[A-Z])", "_", method.name).lower()
    carry_out = getattr(calls, name)
    takes_deadline = "deadline" in inspect.signature(carry_out).parameters

    async def handle(call: Call) -> Response:
        media_type, seconds = _read_headers(call.request)
        seconds = min(call.deadline.remaining(), seconds)
        if not seconds:
            raise deadlines.error(seconds)
        more: dict[str, Any] = {"deadline": Deadline.after(seconds)} if takes_deadline else {}
        body = await read_content(call, max_bytes=MAX_FIELD_BYTES)
        # On a thread: JSON takes longer to read than messages.
        request = await asyncio.to_thread(_read, body, kind, media_type)
        try:
            async with asyncio.timeout(seconds) as limit, call.while_connected():
                response = carry_out(request, call.principal, **more)
                answer: Message = await response if inspect.isawaitable(response) else response
        except TimeoutError:
            raise deadlines.error(seconds) if limit.expired() else TimeoutError from None
        write = json_format.MessageToJson if media_type == _JSON else type(answer).SerializeToString
        large = answer.ByteSize() > _LARGE_BYTES
        return Response(await asyncio.to_thread(write, answer) if large else write(answer), media_type=media_type)

    return handle


def _read_headers(request: Request) -> tuple[str, float]:
    """Media type of a request, and the seconds that its client gives it."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in (_PROTO, _JSON) or request.headers.get("content-encoding", "identity") != "identity":
        error = InvalidArgument(f"expected a body of the type {_PROTO} or {_JSON}, without compression")
        raise HttpRefusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, error)
    timeout = request.headers.get("connect-timeout-ms", "9999999999")
    if not re.fullmatch(r"[0-9]{1,10}", timeout):
        raise InvalidArgument("the header Connect-Timeout-Ms is no number of at most 10 digits")
    return kind, int(timeout) / 1000


def _read(body: bytes, kind: type[Message], media_type: str) -> Message:
    try:
        if media_type != _JSON:
            return kind.FromString(body)
        if not body.lstrip().startswith(b"{"):
            raise ValueError
        return json_format.Parse(body, kind())
    except (json_format.ParseError, DecodeError, ValueError, RecursionError):
        # Not protobuf's own words, which quote what was sent.
        name = kind.DESCRIPTOR.full_name
        raise InvalidArgument(f"the body is no message of {name}, or has a field that it does not have") from None


def _error(refusal: HttpRefusal) -> Response:
    """The answer for an error, in Connect's form; its details are those of gRPC."""
    details = [
        {"type": detail.TypeName(), "value": base64.b64encode(detail.value).decode().rstrip("=")}
        for detail in error_to_status(refusal.error).details
    ]
    code = status_code(refusal.error).name.lower().replace("cancelled", "canceled")
    content = {"code": code, "message": with_frame_advice(refusal.error.message, named=True), "details": details}
    return Response(json.dumps(content), refusal.code, error_headers(refusal), media_type=_JSON)


def _guide(address: CallerAddress) -> str:
    return (
        "The unary calls of the gRPC contract, for clients that are generated from protos/.\n"
        f"  Connect transport: baseUrl {address}\n"
        f"  With curl: curl --json '{{}}' {address}/sixpoint.v1.ModelService/ListModels"
    )
