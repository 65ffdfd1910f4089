"""Handlers of calls with something before or around them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc.aio

from gateway.grpc.identity import caller_of, while_identified

__all__ = ["Context", "Handler", "metadata_first", "until_credentials_end"]

Context = grpc.aio.ServicerContext[Any, Any]
Handler = Callable[[Any, Context], Awaitable[Any]]


def until_credentials_end(handle: Handler) -> Handler:
    """End a handler once its caller's credentials end, or are revoked."""

    async def call(request: Any, context: Context) -> Any:
        async with while_identified(caller_of(context)):
            return await handle(request, context)

    return call


def metadata_first(handle: Handler) -> Handler:
    """Send the initial metadata before a handler of a stream of answers runs.

    Otherwise gRPC sends it with the first answer. An error that cancels this write would send it again, which gRPC
    refuses: the client would never hear of the error.
    """

    async def call(request: Any, context: Context) -> Any:
        await context.send_initial_metadata(())
        return await handle(request, context)

    return call
