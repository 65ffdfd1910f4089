"""Services that are not sixpoint's, such as health: their requests are read in turns with all others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import grpc
import grpc.aio

from gateway.core.runtime.fairness import acting_for
from gateway.grpc.identity import peer_of
from gateway.grpc.messages.decoding import decode_request, decoder
from gateway.grpc.messages.turns import MessageTurns
from gateway.grpc.refusals import abort, abort_arguments, forgetting_frames
from sixpoint.errors import InvalidArgument

__all__ = ["read_in_turn"]

_Context = grpc.aio.ServicerContext[Any, Any]
_Handler = Callable[[Any, _Context], Awaitable[Any]]


def read_in_turn(handler: Any, messages: MessageTurns) -> Any:
    """Wrap a handler, so that its request is read in the turn of the other end of its connection.

    Args:
        handler: Handler of gRPC's; one that takes a stream of requests is left as it is.
        messages: Turns of all messages.
    """
    codecs = {"request_deserializer": None, "response_serializer": handler.response_serializer}
    decode = decoder(handler.request_deserializer or bytes)
    if handler.unary_unary:
        return grpc.stream_unary_rpc_method_handler(_wrap(handler.unary_unary, decode, messages), **codecs)
    if handler.unary_stream:
        return grpc.stream_stream_rpc_method_handler(_wrap(handler.unary_stream, decode, messages), **codecs)
    return handler


def _wrap(handle: _Handler, decode: Callable[[bytes], Any], messages: MessageTurns) -> Callable[..., Awaitable[Any]]:
    async def call(_: object, context: _Context) -> Any:
        try:
            # Probes of one machine do not wait for a flood from another.
            with acting_for(f"peer {peer_of(context)}"):
                request = await decode_request(decode, partial(messages.read, context))
        except InvalidArgument as error:
            arguments, _ = abort_arguments(error)
            return await abort(context, arguments)
        with forgetting_frames():
            return await handle(request, context)

    return call
