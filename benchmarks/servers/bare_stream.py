"""Smallest server that receives a volume over gRPC: a client stream of chunks into one preallocated buffer.

Uploads are measured against it. ``benchmarks.upload`` starts it in another process::

    python -m benchmarks.servers.bare_stream    # prints its port
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc
import grpc.aio
import numpy as np
import typer

__all__ = ["METHOD", "serve"]

METHOD = "/benchmarks.Stream/Upload"
"""Method with a client stream: the number of bytes as text, then chunks. Answers the number of received bytes."""


async def upload(messages: AsyncIterator[bytes], context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
    """Receive one volume. Each chunk is copied once."""
    del context
    buffer, filled = np.empty(int(await anext(messages)), np.uint8), 0
    async for chunk in messages:
        buffer[filled : filled + len(chunk)] = np.frombuffer(chunk, np.uint8)
        filled += len(chunk)
    return str(filled).encode()


async def serve() -> None:
    """Serve on a free port of this machine until the process ends."""
    server = grpc.aio.server()
    service, _, method = METHOD.strip("/").partition("/")
    # Without serialisers, messages are bytes.
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.stream_unary_rpc_method_handler(upload)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
    typer.echo(server.add_insecure_port("127.0.0.1:0"))
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve())
