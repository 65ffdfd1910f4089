"""Read messages of the contract from HTTP requests, and answer with them as JSON."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, TypeVar, cast

from fastapi import Request, Response
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from gateway.http.calls import Call
from gateway.http.forms import MAX_FIELD_BYTES, read_content
from gateway.http.rest.preconditions import entity_tag, expected_revision, repetition_key
from gateway.http.rest.schemas import Schema, check, dump, schema_of, to_message
from sixpoint.errors import InvalidArgument, Violation

__all__ = ["NO_STORE", "body_schema", "json_answer", "query_schema", "read_path", "read_request", "single_values"]

_Message = TypeVar("_Message", bound=Message)

NO_STORE: Mapping[str, str] = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
"""Headers of every answer: patients' data stay in no cache."""

# Of the query, but of no message.
_FORMAT = "format"
# Larger answers are written on a thread.
_LARGE_BYTES = 2**14


def body_schema(kind: type[Message], path: str) -> Schema:
    """Return the model of a request's body: the fields of its message that are not in the path.

    Args:
        kind: The message.
        path: Template of the path.
    """
    descriptor = _descriptor(kind)
    fields = frozenset(field.name for field in descriptor.fields if f"{{{field.name}}}" not in path)
    return schema_of(descriptor, name=f"{descriptor.name.removesuffix('Request')}Body", fields=fields)


def query_schema(kind: type[Message], path: str) -> Schema:
    """Return the model of a request's query: the fields of its message that are not in the path."""
    descriptor = _descriptor(kind)
    fields = frozenset(field.name for field in descriptor.fields if f"{{{field.name}}}" not in path)
    return schema_of(descriptor, name=f"{descriptor.name.removesuffix('Request')}Query", fields=fields)


async def read_request(call: Call, kind: type[_Message], *, path: str, body: bool) -> _Message:
    """Read the message of a call: from its path, and its body or its query.

    Args:
        call: The call.
        kind: The message.
        path: Template of the path.
        body: Whether the rest of the message is in the body, as JSON.

    Raises:
        InvalidArgument: The request is not valid.
        HttpRefusal: The body is too large, or does not come.
    """
    request, descriptor = call.request, _descriptor(kind)
    fields = _read_path(request, descriptor)
    query = single_values(request)
    if body:
        content = await read_content(call, max_bytes=MAX_FIELD_BYTES)
        _refuse_query(query)
        schema = body_schema(kind, path)
        fields |= check(schema, lambda model: model.model_validate_json(content or b"{}"), what="the request's body")
    else:
        schema = query_schema(kind, path)
        fields |= check(schema, lambda model: model.model_validate(query, strict=False), what="the request's query")
    _read_headers(request, descriptor, fields)
    return to_message(kind, fields)


def read_path(request: Request, kind: type[_Message]) -> _Message:
    """Read the message of a call whose body is a file: from its path alone.

    Args:
        request: The request.
        kind: The message.

    Raises:
        InvalidArgument: The path is not valid.
    """
    return to_message(kind, _read_path(request, _descriptor(kind)))


def _descriptor(kind: type[Message]) -> Descriptor:
    return cast("Descriptor", kind.DESCRIPTOR)


def _read_path(request: Request, descriptor: Descriptor) -> dict[str, Any]:
    given = dict(request.path_params)
    if not given:
        return {}
    schema = schema_of(descriptor, name="Path", fields=frozenset(given))
    fields = check(schema, lambda model: model.model_validate(given, strict=False), what="the request's path")
    for name, value in fields.items():
        # In a message, 0 stands for a default.
        if isinstance(value, int) and value < 1:
            raise InvalidArgument(
                f"the request's path is not valid: {name}: expected a number from 1",
                violations=(Violation(name, "a number from 1"),),
            )
    return fields


def single_values(request: Request) -> dict[str, str]:
    """Return the query without the form of the answer.

    Raises:
        InvalidArgument: A parameter comes twice.
    """
    values: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name in values:
            raise InvalidArgument(
                "the request's query has a parameter twice; give each once",
                violations=(Violation(name[:80], "given once"),),
            )
        values[name] = value
    values.pop(_FORMAT, None)
    return values


def _refuse_query(query: Mapping[str, str]) -> None:
    if query:
        raise InvalidArgument(
            "the request's query has parameters that this address does not take; the fields are in the body, as JSON",
            violations=tuple(Violation(name[:80], "there is no such parameter") for name in list(query)[:10]),
        )


def _read_headers(request: Request, descriptor: Descriptor, fields: dict[str, Any]) -> None:
    if "revision" in descriptor.fields_by_name and (revision := expected_revision(request)) is not None:
        if fields.setdefault("revision", revision) != revision:
            raise InvalidArgument(
                "If-Match and the field revision name two revisions; give one of them",
                violations=(Violation("revision", f"{revision}, as If-Match says"),),
            )
    elif "if-match" in request.headers and "revision" not in descriptor.fields_by_name:
        raise InvalidArgument(
            "this call takes no If-Match: it does not depend on a revision; leave the header out",
            violations=(Violation("If-Match", "left out"),),
        )
    if "request_id" in descriptor.fields_by_name and (key := repetition_key(request)):
        fields.setdefault("request_id", key)


async def json_answer(
    message: Message, *, status: int = 200, headers: Mapping[str, str] | None = None, schema: Schema | None = None
) -> Response:
    """Return a message as JSON; one with a revision has it as ETag, too.

    Args:
        message: The message.
        status: Status code.
        headers: More headers.
        schema: Model of some of its fields, if not all are sent.
    """
    large = message.ByteSize() > _LARGE_BYTES
    content = await asyncio.to_thread(dump, message, schema) if large else dump(message, schema)
    tags = {"etag": entity_tag(revision)} if (revision := getattr(message, "revision", 0)) else {}
    return Response(
        content, status_code=status, media_type="application/json", headers={**NO_STORE, **tags, **(headers or {})}
    )
