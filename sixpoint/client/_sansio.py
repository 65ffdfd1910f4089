"""What the twin clients do alike, written once: plans that yield calls and are sent their responses.

A plan is a generator. It yields a :class:`Call` to be made, :class:`Work` to be done off the event loop, or a
:class:`Pause` to be waited for, and gets the result; an error that it is to know of is raised in it where it yielded.
The blocking client and the one for asyncio only differ in how they drive a plan (sans-I/O, as h11 and httpx's
authentication flows do it).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from google.protobuf.message import Message

from sixpoint.v1 import annotation_service_pb2_grpc as annotation_grpc
from sixpoint.v1 import image_service_pb2_grpc as images_grpc
from sixpoint.v1 import model_service_pb2_grpc as models_grpc
from sixpoint.v1 import session_service_pb2_grpc as sessions_grpc

__all__ = ["Call", "Pause", "Plan", "Stubs", "Work"]

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Call:
    """One call of the contract.

    Attributes:
        method: Its name, unique among all services.
        request: What is sent; None for a stream.
        stream: Makes the messages of a stream, anew for each attempt.
        receive: Called with each message of a stream that the gateway sends; the call then has no other result.
        timeout: Seconds for all attempts together.
        safe: Whether it may be repeated: it only reads, or carries an id of its own.
    """

    method: str
    request: Message | None
    timeout: float
    stream: Callable[[], Iterator[Message]] | None = None
    receive: Callable[[Message], None] | None = None
    safe: bool = True


@dataclass(frozen=True)
class Work:
    """Something that takes the processor a while: reading a file, hashing it."""

    function: Callable[[], Any]


@dataclass(frozen=True)
class Pause:
    """Seconds in which nothing happens."""

    seconds: float


Plan = Generator[Call | Work | Pause, Any, _Result]


class Stubs:
    """All calls by name, over a channel of either kind.

    Args:
        channel: ``grpc.Channel`` or ``grpc.aio.Channel``.
    """

    def __init__(self, channel: Any) -> None:
        self.stubs: tuple[Any, ...] = (
            models_grpc.ModelServiceStub(channel),
            images_grpc.ImageServiceStub(channel),
            sessions_grpc.SessionServiceStub(channel),
            annotation_grpc.AnnotationServiceStub(channel),
        )

    def method(self, name: str) -> Any:
        """The call of this name."""
        return next(getattr(stub, name) for stub in self.stubs if hasattr(stub, name))
