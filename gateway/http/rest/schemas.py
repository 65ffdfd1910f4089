"""Pydantic models made from the messages of the contract.

JSON has the fields of the messages, with their names, as protobuf's JSON mapping has them: enumerations by name, bytes
as base64, times and durations as text. 64-bit integers are numbers here; readers of that mapping take both.

A second set of models, written by hand, would have to follow each change of the contract. Here a new kind of prompt is
part of the API, of its checks and of its document once ``make protos`` has run.
"""

from __future__ import annotations

import base64
import functools
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar, cast

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor, OneofDescriptor
from google.protobuf.message import Message
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    JsonValue,
    PlainSerializer,
    ValidationError,
    WithJsonSchema,
    create_model,
    model_validator,
)

from gateway.contract.comments import comment_of
from gateway.http.rest.bounds import bounds_of, required_fields
from sixpoint.errors import InvalidArgument, Violation

__all__ = ["Schema", "check", "dump", "schema_of", "to_message"]

_Message = TypeVar("_Message", bound=Message)

Schema = type[BaseModel]
"""A pydantic model."""

_CONFIG = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)
_NUMBERS: dict[int, Any] = {
    FieldDescriptor.CPPTYPE_DOUBLE: float,
    FieldDescriptor.CPPTYPE_FLOAT: float,
    FieldDescriptor.CPPTYPE_BOOL: bool,
}
_INTEGERS: dict[int, tuple[int, int]] = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}
_TEXTS: dict[str, tuple[str, str]] = {
    "google.protobuf.Timestamp": ("date-time", "2026-01-31T12:00:00.000000Z"),
    "google.protobuf.Duration": ("duration-in-seconds", "0.025s"),
}
# A coordinate that is left out would be 0, somewhere else than the person meant.
_COMPLETE = frozenset({"sixpoint.v1.Point"})
_MAX_VIOLATIONS = 10
_TEXT_LENGTH = 200


def _decode(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode(value, validate=True)
    except ValueError:
        raise ValueError("expected base64") from None


# Not pydantic's own type, which takes characters that are none, and encodes again for Python.
_Base64 = Annotated[
    bytes,
    BeforeValidator(_decode),
    PlainSerializer(lambda data: base64.b64encode(data).decode(), return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "contentEncoding": "base64"}),
]


@functools.cache
def schema_of(descriptor: Descriptor, *, name: str = "", fields: frozenset[str] | None = None) -> Schema:
    """Return the model of a message, or of some of its fields.

    Args:
        descriptor: Descriptor of the message.
        name: Name of the model; empty for that of the message.
        fields: Names of its fields; None for all.
    """
    definitions: dict[str, Any] = {
        field.name: _definition(field) for field in descriptor.fields if fields is None or field.name in fields
    }
    unions = [union for union in descriptor.oneofs if len(union.fields) > 1]
    required = [field for field in required_fields(descriptor) if field in definitions]
    return create_model(
        name or descriptor.name,
        __config__=ConfigDict(**_CONFIG, json_schema_extra=_require(required)) if required else _CONFIG,
        __doc__=comment_of(descriptor.full_name),
        __validators__={f"only_one_{union.name}": _only_one(union) for union in unions},
        **definitions,
    )


def _require(names: list[str]) -> Callable[[dict[str, Any]], None]:
    """The change of a model's JSON schema by which it requires fields. The core refuses a call without them."""

    def require(schema: dict[str, Any]) -> None:
        schema["required"] = sorted({*schema.get("required", ()), *names})
        for name in names:
            described = schema["properties"][name]
            described.pop("default", None)
            kinds = [kind for kind in described.pop("anyOf", []) if kind != {"type": "null"}]
            described |= kinds[0] if len(kinds) == 1 else {"anyOf": kinds} if kinds else {}
            schema["properties"][name] = described

    return require


def _definition(field: FieldDescriptor) -> tuple[Any, Any]:
    # Bounds are said in the document, and kept by the core, which refuses in words.
    told: dict[str, Any] = {
        "description": comment_of(field.full_name) or None,
        "json_schema_extra": dict(bounds_of(field)) or None,
    }
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        key, value = (field.message_type.fields_by_name[name] for name in ("key", "value"))
        return dict[_type(key), _type(value)], Field(default_factory=dict, **told)  # type: ignore[misc]
    if field.is_repeated:
        # The first wrong one is enough: ten thousand would take the event loop's time.
        several: Any = list[_type(field)]  # type: ignore[misc]
        return Annotated[several, FailFast()], Field(default_factory=list, **told)
    if field.has_presence:
        return _type(field) | None, Field(default=None, **told)
    if field.containing_type is not None and field.containing_type.full_name in _COMPLETE:
        return _type(field), Field(**told)
    default = field.enum_type.values_by_number[0].name if field.enum_type else field.default_value
    return _type(field), Field(default=default, **told)


def _type(field: FieldDescriptor) -> Any:
    """The type of one value of a field."""
    if field.message_type is not None:
        if field.message_type.full_name == "google.protobuf.Struct":
            return dict[str, JsonValue]
        if field.message_type.full_name in _TEXTS:
            return _annotated(str, json_schema_extra=_time_schema(field.message_type.full_name))
        return schema_of(field.message_type)
    if field.enum_type is not None:
        return Literal[tuple(value.name for value in field.enum_type.values)]
    if field.type == FieldDescriptor.TYPE_BYTES:
        return _Base64
    if field.cpp_type in _INTEGERS:
        low, high = _INTEGERS[field.cpp_type]
        return _annotated(int, ge=low, le=high)
    return _NUMBERS.get(field.cpp_type, str)


def _time_schema(name: str) -> dict[str, Any]:
    form, example = _TEXTS[name]
    return {"format": form, "examples": [example]}


def _annotated(kind: type, **constraints: Any) -> Any:
    return Annotated[kind, Field(**constraints)]


def _only_one(union: OneofDescriptor) -> Any:
    names = [field.name for field in union.fields]

    def check_one(self: BaseModel) -> BaseModel:
        given = [name for name in names if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"expected one of {', '.join(names)}, got {' and '.join(given)}")
        return self

    return model_validator(mode="after")(check_one)


def check(schema: Schema, validate: Callable[[Schema], BaseModel], *, what: str) -> dict[str, Any]:
    """Check what a caller sent; returns the fields that are set.

    Args:
        schema: The model.
        validate: Function that applies the model.
        what: What was sent, for the error's message.

    Raises:
        InvalidArgument: It does not fit; the error names the wrong fields.
    """
    try:
        content = validate(schema)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False, include_context=False)[:_MAX_VIOLATIONS]
        violations = tuple(Violation(_path(fault["loc"]), _expectation(fault)) for fault in details)
        first = violations[0]
        place = f"{first.field}: " if first.field else ""
        raise InvalidArgument(f"{what} is not valid: {place}{first.description}", violations=violations) from None
    return content.model_dump(exclude_unset=True, exclude_none=True)


def to_message(kind: type[_Message], fields: dict[str, Any]) -> _Message:
    """Make a message of fields that were checked."""
    return kind(**fields)


def dump(message: Message, schema: Schema | None = None) -> bytes:
    """Return a message as JSON; fields that are not set have their defaults.

    Args:
        message: The message.
        schema: Model of some of its fields; None for all.
    """
    fields = json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    # The mapping has 64-bit integers as text, which the model reads as numbers.
    if schema is None:
        schema = schema_of(cast("Descriptor", message.DESCRIPTOR))
    model = schema.model_validate({name: fields[name] for name in schema.model_fields if name in fields}, strict=False)
    return model.model_dump_json(exclude_none=True).encode()


def _path(places: tuple[int | str, ...]) -> str:
    """A path such as ``prompts[0].click.frame``."""
    path = ""
    for place in places:
        path += f"[{place}]" if isinstance(place, int) else f".{place}" if path else str(place)
    return path[:_TEXT_LENGTH]


def _expectation(fault: Any) -> str:
    """What was expected, in the words of the project."""
    kind, text = fault["type"], str(fault["msg"])
    if kind == "extra_forbidden":
        return "there is no such field"
    if kind == "json_invalid":
        return "expected JSON"
    text = text.removeprefix("Value error, ").replace("Input should be", "expected")
    return text[:_TEXT_LENGTH]
