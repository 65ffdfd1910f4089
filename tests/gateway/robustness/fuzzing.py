"""Requests that no client should send, made of messages' own descriptions: every field with awkward values, and bytes
that are no message, of any size up to the largest.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct

__all__ = ["FAULTS", "GROWTH_BYTES", "LARGEST", "STALL_S", "Maker", "damaged"]

LARGEST = 8 * 2**20
"""Bytes of the largest message that the gateway takes."""
FAULTS = {
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.UNAVAILABLE,
}
"""Codes with which no call may end."""
GROWTH_BYTES = 64 * 2**20
"""Memory that a gateway may keep: Python's allocator keeps some of what it was once given."""
STALL_S = 0.05
"""Longest time for which the event loop may work on one thing."""

_FLOATS = (
    0.0,
    1.0,
    5.5,
    15.0,
    20.0,
    -1.0,
    -0.5,
    39.5,
    1e-320,
    1e308,
    -1e308,
    float("nan"),
    float("inf"),
    float("-inf"),
)
_INTEGERS = (0, 1, 2, 3, 7, -1, 255, 256, 1000, 2**31 - 1, -(2**31))
_LONG = (2**63 - 1, -(2**63), 2**40, 2**53 + 1)
_STRINGS = ("", "x", "x" * 65, "x" * 300, "../../etc/passwd", "é\u0000\u202e", "0" * 64, "' OR 1=1 --")
_BYTES = (b"", b"\x00", bytes(range(256)), b"\x28\xb5\x2f\xfd\x00\x00\x01\x00\x00", bytes(70_000))
_MANY = 1100
_KEYS = ("dataset", "model", "labels", "digests", "split", "run", "x" * 300, "")
# Objects of JSON have no fields of their own.
_STRUCT = "google.protobuf.Struct"


@dataclass(frozen=True)
class Maker:
    """Makes messages.

    Attributes:
        rng: Decides.
        strings: Names that the server knows: ids, digests, models.
    """

    rng: random.Random
    strings: Sequence[str]

    def message(self, kind: type[Message]) -> Any:
        """A message of a kind, each field set or not."""
        made = kind()
        self._fill(made, depth=0)
        return made

    def mutated(self, message: Message) -> Any:
        """A message in which one field somewhere is another one."""
        made = type(message)()
        made.CopyFrom(message)
        places = list(_places(made))
        owner, field = self.rng.choice(places)
        owner.ClearField(field.name)
        if self.rng.random() < 0.85:
            self._set(owner, field, depth=1)
        return made

    def _fill(self, message: Message, *, depth: int) -> None:
        for field in message.DESCRIPTOR.fields:
            if self.rng.random() < (0.7 if depth < 4 else 0.2):
                self._set(message, field, depth=depth)

    def _set(self, message: Any, field: Any, *, depth: int) -> None:
        make = self._maker(field, depth)
        if field.is_repeated:
            few = self.rng.choice((0, 1, 2, 3, 6, 9, 20))
            count = _MANY if self.rng.random() < 0.01 and depth < 2 else few
            values = [make() for _ in range(count)]
            getattr(message, field.name).extend(values)
        elif field.message_type is not None:
            getattr(message, field.name).CopyFrom(make())
        else:
            setattr(message, field.name, make())

    def _maker(self, field: Any, depth: int) -> Callable[[], Any]:
        choose = self.rng.choice
        if field.message_type is not None:
            kind = field.message_type._concrete_class
            if field.message_type.full_name == _STRUCT:
                return self._struct

            def make() -> Message:
                made: Message = kind()
                self._fill(made, depth=depth + 1)
                return made

            return make
        match field.cpp_type:
            case FieldDescriptor.CPPTYPE_STRING if field.type == FieldDescriptor.TYPE_BYTES:
                return lambda: choose(_BYTES)
            case FieldDescriptor.CPPTYPE_STRING:
                return lambda: choose(self.strings) if self.rng.random() < 0.7 else choose(_STRINGS)
            case FieldDescriptor.CPPTYPE_DOUBLE | FieldDescriptor.CPPTYPE_FLOAT:
                return lambda: choose(_FLOATS)
            case FieldDescriptor.CPPTYPE_BOOL:
                return lambda: self.rng.random() < 0.5
            case FieldDescriptor.CPPTYPE_ENUM:
                return lambda: choose((0, 1, 2, 3, 99))
            case FieldDescriptor.CPPTYPE_INT64:
                return lambda: choose(_INTEGERS + _LONG)
        return lambda: choose(_INTEGERS)

    def _struct(self) -> Struct:
        made = Struct()
        texts = [*self.strings, *_STRINGS]
        values: list[Any] = [None, True, *_FLOATS, [], {}, [[[[]]]], [1, "x", None], {"a": {"b": [{}]}}, ["x"] * _MANY]
        for key in self.rng.sample(_KEYS, self.rng.randrange(len(_KEYS))):
            made.update({key: self.rng.choice(texts if self.rng.random() < 0.6 else values)})
        return made


def damaged(rng: random.Random, data: bytes) -> bytes:
    """Bytes of a message with some of them changed, cut, repeated or added, by any size that the wire allows."""
    made = bytearray(data)
    for _ in range(rng.randrange(1, 4)):
        place = rng.randrange(len(made) + 1)
        # Sizes of every order alike; the large ones take a moment to send.
        count = int(2 ** rng.uniform(0, 12 if rng.random() < 0.95 else 23))
        match rng.randrange(5):
            case 0:
                del made[place : place + count]
            case 1:
                made[place : place + 1] = rng.randbytes(1)
            case 2:
                made[place:place] = rng.randbytes(count)
            case 3:
                made[place:place] = made[:place] * (count // (place + 1))
            case 4:
                # Empty fields: the most work for their bytes.
                made[place:place] = bytes([rng.randrange(1, 16) << 3 | 2, 0]) * (count // 2)
    return bytes(made[:LARGEST])


def _places(message: Message) -> Iterator[tuple[Any, Any]]:
    """Every field of a message and of the messages in it."""
    for field in message.DESCRIPTOR.fields:
        yield message, field
        if field.message_type is not None and field.message_type.full_name != _STRUCT:
            value = getattr(message, field.name)
            for part in value if field.is_repeated else [value] if message.HasField(field.name) else []:
                yield from _places(part)
