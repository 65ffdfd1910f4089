"""Read the messages of calls: bounded work for whatever the wire allows, and a clear error for what is no message."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import grpc.aio
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError

from sixpoint.errors import InvalidArgument

__all__ = ["Received", "decode_request", "decode_stream", "decoder", "with_size"]

_Message = TypeVar("_Message")

# Protobuf parses 64 KiB in 3 ms, whatever they hold; 8 MiB of empty parts take 0.5 s, and no other thread runs then.
_UNCHECKED_BYTES = 2**16
# A call with as many clicks as an object may have has 8,000 fields, which are counted in 10 ms.
_MAX_FIELDS = 10_000
_BYTES = frozenset({FieldDescriptor.CPPTYPE_STRING, FieldDescriptor.CPPTYPE_MESSAGE})


@dataclass(frozen=True, eq=False)
class Received(Generic[_Message]):
    """A message of a stream.

    Attributes:
        content: The message.
        nbytes: Bytes that it took on the wire. Protobuf finds them out by writing the whole message again.
    """

    content: _Message
    nbytes: int


def decoder(deserialize: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """Return a function that reads a message.

    Args:
        deserialize: Function of protobuf that reads it, ``Message.FromString``.

    Returns:
        The function. It raises InvalidArgument for what is no message, and for one of too many fields.
    """
    message = getattr(deserialize, "__self__", None)
    descriptor: Descriptor | None = getattr(message, "DESCRIPTOR", None)

    def decode(data: bytes) -> Any:
        try:
            if descriptor is not None and len(data) > _UNCHECKED_BYTES:
                _count_fields(data, descriptor, end=len(data))
            return deserialize(data)
        except DecodeError:
            name = descriptor.full_name if descriptor is not None else "the expected type"
            raise InvalidArgument(f"the request is damaged: it is no message of {name}") from None

    return decode


def with_size(decode: Callable[[bytes], _Message]) -> Callable[[bytes], Received[_Message]]:
    """Return a function that reads a message and notes its bytes.

    Args:
        decode: Result of :func:`decoder`.
    """
    return lambda data: Received(decode(data), len(data))


async def decode_request(decode: Callable[[bytes], Any], read: Callable[[], Awaitable[Any]]) -> Any:
    """Read the only message of a call.

    Args:
        decode: Result of :func:`decoder`.
        read: Function that returns the next message of the call, or gRPC's EOF.

    Raises:
        InvalidArgument: There is none, or it cannot be read.
    """
    data = await read()
    if data is grpc.aio.EOF:
        raise InvalidArgument("the call has no request; send one message")
    return decode(data)


async def decode_stream(decode: Callable[[bytes], Any], read: Callable[[], Awaitable[Any]]) -> AsyncIterator[Any]:
    """Read the messages of a stream as they arrive, and hold none of them.

    gRPC's own iterator holds a message until the next one has arrived: 8 MiB for each upload that stands still.

    Args:
        decode: Result of :func:`decoder`, or of :func:`with_size`.
        read: Function that returns the next message of the call, or gRPC's EOF.
    """
    while (data := await read()) is not grpc.aio.EOF:
        message = [decode(data)]
        del data
        yield message.pop()


def _count_fields(data: bytes, descriptor: Descriptor, *, start: int = 0, end: int, count: int = 0) -> int:
    """Count the fields of a message, those of its parts included, and each byte of packed numbers as a field.

    Args:
        data: Bytes that hold the message.
        descriptor: Type of the message.
        start: First byte of the message.
        end: Byte behind the message.
        count: Fields counted so far.

    Returns:
        Fields counted so far and here.

    Raises:
        DecodeError: The bytes are no message.
        InvalidArgument: There are too many fields.
    """
    fields = descriptor.fields_by_number
    groups = 0
    while start < end:
        count += 1
        tag, start = _varint(data, start, end)
        match tag & 7:
            case 0:
                _, start = _varint(data, start, end)
            case 1:
                start += 8
            case 5:
                start += 4
            case 2:
                length, start = _varint(data, start, end)
                stop = start + length
                if stop > end:
                    raise DecodeError("truncated")
                # No message of ours has a group: what is in one is unknown.
                field = None if groups else fields.get(tag >> 3)
                if length and field is not None and field.message_type is not None:
                    count = _count_fields(data, field.message_type, start=start, end=stop, count=count)
                elif field is not None and field.cpp_type not in _BYTES:
                    # Packed numbers take a byte each, or more.
                    count += length
                start = stop
            case 3:
                groups += 1
            case 4:
                groups -= 1
            case _:
                raise DecodeError("unknown wire type")
        if count > _MAX_FIELDS:
            raise InvalidArgument(f"the request has more than {_MAX_FIELDS} fields; send fewer prompts or labels")
    if start > end:
        raise DecodeError("truncated")
    return count


def _varint(data: bytes, start: int, end: int) -> tuple[int, int]:
    """Read a number of variable length; return it and the byte behind it."""
    if start < end and data[start] < 0x80:
        return data[start], start + 1
    value = shift = 0
    while start < end and shift < 70:
        byte = data[start]
        start += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, start
        shift += 7
    raise DecodeError("truncated")
