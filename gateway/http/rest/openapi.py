"""The document of the API (OpenAPI 3.1), which FastAPI makes of the operations and their models."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, cast

from fastapi import Body, Path, Query
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from google.protobuf.descriptor import Descriptor
from pydantic.json_schema import models_json_schema

import sixpoint
from gateway.contract.comments import comment_of
from gateway.http.rest.bounds import bounds_of
from gateway.http.rest.event_stream import EVENT_STREAM
from gateway.http.rest.messages import body_schema, query_schema
from gateway.http.rest.operations import Operation
from gateway.http.rest.problems import Problem
from gateway.http.rest.schemas import Schema

__all__ = ["describe_api"]

_PROBLEM = "application/problem+json"
_REF = "#/components/schemas/{model}"
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
        described = document["paths"][operation.path][operation.method.lower()]
        _complete(described, operation, document["components"]["schemas"])
    models = {model for operation in operations for model in operation.events.values()}
    _, definitions = models_json_schema([(model, "validation") for model in sorted(models, key=str)], ref_template=_REF)
    for name, schema in definitions.get("$defs", {}).items():
        document["components"]["schemas"].setdefault(name, schema)
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
    if operation.message is not None:
        if operation.in_body:
            yield parameter("body", Annotated[body_schema(operation.message, operation.path), Body()])
        elif (schema := query_schema(operation.message, operation.path)).model_fields:
            yield parameter("query", Annotated[schema, Query()])


def _field_text(operation: Operation, name: str) -> str:
    if operation.message is None:
        return comment_of(f"sixpoint.v1.Image.{name}")
    return comment_of(f"{operation.message.DESCRIPTOR.full_name}.{name}")


def _complete(described: dict[str, Any], operation: Operation, schemas: Mapping[str, Any]) -> None:
    """Add what FastAPI does not know: other media types, examples, further parameters, problems, who may call."""
    responses = described["responses"]
    responses.pop("422", None)
    content = responses["default"].pop("content")
    responses["default"]["content"] = {_PROBLEM: content["application/json"]}
    answer = responses[str(operation.status)]
    if operation.events:
        answer["content"] = {EVENT_STREAM: _event_stream(operation.events)}
    if operation.media:
        # FastAPI describes JSON where there is no model.
        described_content = answer.get("content", {}) if operation.answer or operation.events else {}
        answer["content"] = {**described_content, **_media(operation.media)}
    if operation.body:
        described["requestBody"] = {"required": True, "content": _media(operation.body)}
    if operation.example is not None:
        described["requestBody"]["content"]["application/json"]["examples"] = {"example": {"value": operation.example}}
    content = described.get("requestBody", {}).get("content", {}).get("application/json")
    if content and operation.in_body:
        # FastAPI requires each body that has no default; ours may be left out where no field is required.
        described["requestBody"]["required"] = bool(_required(content["schema"], schemas))
    if operation.message is not None and not operation.in_body:
        fields = cast("Descriptor", operation.message.DESCRIPTOR).fields_by_name
        for described_parameter in described.get("parameters", []):
            # FastAPI takes no more of a query's model than types.
            if field := fields.get(described_parameter["name"]):
                described_parameter["schema"] |= bounds_of(field)
    for header in operation.headers:
        described.setdefault("parameters", []).append(
            {
                "name": header.name,
                "in": "header",
                "required": header.required,
                "description": header.description,
                "schema": {**header.schema, "examples": [header.example]},
            }
        )
    for parameter in operation.parameters:
        described.setdefault("parameters", []).append(
            {"name": parameter.name, "in": "query", "description": parameter.description, "schema": parameter.schema}
        )
    described["security"] = [{"bearer": []}, {}] if operation.role else []
    if operation.role:
        described["description"] = f"{described.get('description', '')}\n\nRole: {operation.role.name.lower()}.".strip()


def _event_stream(events: Mapping[str, Schema]) -> dict[str, Any]:
    """The description of a stream of server-sent events: as text, and each event as OpenAPI 3.2 has it."""
    models: dict[str, Schema] = {**events, "problem": Problem}
    kinds = [
        {
            "type": "object",
            "required": ["event", "data"],
            "properties": {
                "event": {"const": name},
                "data": {
                    "type": "string",
                    "contentMediaType": "application/json",
                    "contentSchema": {"$ref": _REF.format(model=model.__name__)},
                },
            },
        }
        for name, model in models.items()
    ]
    return {"schema": {"type": "string"}, "itemSchema": {"oneOf": kinds}}


def _required(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> list[str]:
    """The fields that a body must have."""
    named: Mapping[str, Any] = schemas.get(str(schema.get("$ref", "")).rpartition("/")[2], schema)
    return list(named.get("required", ()))


def _media(schemas: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {media_type: {"schema": dict(schema)} for media_type, schema in schemas.items()}
