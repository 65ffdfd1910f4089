"""Operations: what both clients ask of the gateway, written once, without I/O.

An operation is a generator. It asks for an effect with ``yield from`` and receives its result: the response of a
:class:`Call`, the return value of some :class:`Work`. If the effect fails, its error is raised at that place. The
drivers of :mod:`sixpoint.client._transport` carry the effects out, one blocking, one on the event loop. h11 and the
authentication flows of httpx separate protocol and I/O in the same way.

A public method runs one operation, which may use another one. There is no third level: an operation that a call needs
for its recovery is part of the call (:attr:`Call.restore_image`).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import grpc

__all__ = ["Call", "ClientStreamingCall", "Effect", "Operation", "Pause", "ServerStreamingCall", "Work"]

_Request = TypeVar("_Request")
_Response = TypeVar("_Response")
_Result = TypeVar("_Result")


class Effect(Generic[_Result]):
    """Something that an operation asks its driver to do, with the type of its result."""

    def __iter__(self) -> Generator[Effect[Any], Any, _Result]:
        """Hand the effect to the driver and return its result."""
        result: _Result = yield self
        return result


Operation = Generator[Effect[Any], Any, _Result]
"""A generator of effects that returns a result."""


@dataclass(frozen=True)
class Call(Effect[_Response], Generic[_Request, _Response]):
    """A unary RPC.

    Attributes:
        method: Method of a stub.
        request: Message to send.
        timeout: Seconds for all attempts together.
        repeatable: Whether the driver may retry: the call only reads, or carries a request id.
        restore_image: Makes an operation that uploads the session's image again. If the gateway answers that it has
            lost the image, the driver runs that operation and then makes the call once more.
    """

    method: grpc.UnaryUnaryMultiCallable[_Request, _Response]
    request: _Request
    timeout: float
    repeatable: bool = True
    restore_image: Callable[[], Operation[object]] | None = None


@dataclass(frozen=True)
class ClientStreamingCall(Effect[_Response], Generic[_Request, _Response]):
    """An RPC whose requests are a stream. The driver does not retry it.

    Attributes:
        method: Method of a stub.
        requests: Makes the stream; called anew each time it is sent.
        timeout: Seconds for the whole call.
    """

    method: grpc.StreamUnaryMultiCallable[_Request, _Response]
    requests: Callable[[], Iterator[_Request]]
    timeout: float


@dataclass(frozen=True)
class ServerStreamingCall(Effect[None], Generic[_Request, _Response]):
    """An RPC whose responses are a stream. A retry delivers the responses again from the beginning.

    Attributes:
        method: Method of a stub.
        request: Message to send.
        receive: Called with each response.
        timeout: Seconds for all attempts together.
    """

    method: grpc.UnaryStreamMultiCallable[_Request, _Response]
    request: _Request
    receive: Callable[[_Response], None]
    timeout: float


@dataclass(frozen=True)
class Work(Effect[_Result]):
    """A function that occupies the CPU or the disk for long, such as reading a file. It runs off the event loop.

    Attributes:
        function: Called without arguments; its return value is the result.
    """

    function: Callable[[], _Result]


@dataclass(frozen=True)
class Pause(Effect[None]):
    """A pause before the operation continues.

    Attributes:
        seconds: Length of the pause.
    """

    seconds: float
