"""The document of the API (OpenAPI 3.1), which FastAPI makes of the operations and their models."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from fastapi import Body, Header, Path, Query
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

import sixpoint
from gateway.contract.comments import comment_of
from gateway.http.rest.messages import body_schema, query_schema
from gateway.http.rest.operations import Operation
from gateway.http.rest.problems import Problem
from gateway.http.rest.schemas import Schema

__all__ = ["describe_api"]

_PROBLEM = "application/problem+json"
_DESCRIPTION = """\
Outline organs in 3D images: upload an image, open a session, give prompts, take masks.

Bodies are the messages of sixpoint's gRPC contract in protobuf's JSON mapping: fields have the same names, enumerations
are names, bytes are base64. Coordinates are (x, y, z). Errors are Problem Details (RFC 9457).
"""


def describe_api(operations: Sequence[Operation], *, server: str) -> dict[str, Any]:
    """Return the document.

    Args:
        operations: The operations.
        server: Path of the API.
    """
    document = get_openapi(
        title="sixpoint",
        version=sixpoint.__version__,
        summary="Outline organs in 3D images",
        description=_DESCRIPTION,
        routes=[_route(operation) for operation in operations],
        servers=[{"url": server}],
        separate_input_output_schemas=False,
    )
    for operation in operations:
        _complete(document["paths"][operation.path][operation.method.lower()], operation)
    schemes = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "A token, where the gateway asks for one."}
    }
    document["components"]["securitySchemes"] = schemes
    # FastAPI's own form of errors; ours are problems.
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)
    return document


def _route(operation: Operation) -> APIRoute:
    """A route of FastAPI that only describes."""

    # FastAPI would take a docstring for the description.
    def endpoint(**_: Any) -> None: ...

    endpoint.__signature__ = inspect.Signature(list(_parameters(operation)))  # type: ignore[attr-defined]
    return APIRoute(
        operation.path,
        endpoint,
        methods=[operation.method],
        name=operation.name,
        operation_id=operation.name,
        summary=operation.summary,
        description=operation.description,
        response_model=operation.answer,
        status_code=operation.status,
        response_description="Done",
        responses={
            **{code: _response(text, schema) for code, (text, schema) in operation.others.items()},
            "default": {"model": Problem, "description": "Refused"},
        },
    )


def _response(text: str, schema: Schema | None) -> dict[str, Any]:
    return {"description": text, **({"model": schema} if schema else {})}


def _parameters(operation: Operation) -> Iterator[inspect.Parameter]:
    def parameter(name: str, kind: Any, default: Any = inspect.Parameter.empty) -> inspect.Parameter:
        return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=default)

    fields = operation.message.DESCRIPTOR.fields_by_name if operation.message else {}
    for part in operation.path.split("/"):
        if part.startswith("{"):
            name = part.strip("{}")
            field = fields.get(name)
            number = field is not None and field.enum_type is None and isinstance(field.default_value, int)
            text = _field_text(operation, name)
            kind = (
                Annotated[int, Path(ge=1, le=255, description=text)]
                if number
                else Annotated[str, Path(description=text)]
            )
            yield parameter(name, kind)
    for header in operation.headers:
        yield parameter(
            header.name.lower().replace("-", "_"),
            Annotated[str | None, Header(alias=header.name, description=header.description, examples=[header.example])],
            None,
        )
    if operation.message is not None:
        if operation.in_body:
            yield parameter("body", Annotated[body_schema(operation.message, operation.path), Body()])
        elif (schema := query_schema(operation.message, operation.path)).model_fields:
            yield parameter("query", Annotated[schema, Query()])


def _field_text(operation: Operation, name: str) -> str:
    if operation.message is None:
        return comment_of(f"sixpoint.v1.Image.{name}")
    return comment_of(f"{operation.message.DESCRIPTOR.full_name}.{name}")


def _complete(described: dict[str, Any], operation: Operation) -> None:
    """Add what FastAPI does not know: other media types, examples, further parameters, problems, who may call."""
    responses = described["responses"]
    responses.pop("422", None)
    content = responses["default"].pop("content")
    responses["default"]["content"] = {_PROBLEM: content["application/json"]}
    answer = responses[str(operation.status)]
    if operation.media:
        answer["content"] = {**(answer.get("content", {}) if operation.answer else {}), **_media(operation.media)}
    if operation.body:
        described["requestBody"] = {"required": True, "content": _media(operation.body)}
    if operation.example is not None:
        described["requestBody"]["content"]["application/json"]["examples"] = {"example": {"value": operation.example}}
    for parameter in operation.parameters:
        described.setdefault("parameters", []).append(
            {"name": parameter.name, "in": "query", "description": parameter.description, "schema": parameter.schema}
        )
    described["security"] = [{"bearer": []}, {}] if operation.role else []
    if operation.role:
        described["description"] = f"{described.get('description', '')}\n\nRole: {operation.role.name.lower()}.".strip()


def _media(schemas: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {media_type: {"schema": dict(schema)} for media_type, schema in schemas.items()}
