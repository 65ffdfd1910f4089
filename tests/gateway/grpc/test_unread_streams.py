"""What gathers in the gateway while streams are not read."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import grpc.aio

from tests.gateway.grpc.servers import serving

MIB = 2**20
STREAMS, READ = 8, 40


async def test_streams_that_are_not_read_gather_a_few_megabytes_each() -> None:
    # Read fast at first: gRPC by itself would then let as much gather as a fast network holds.
    sent, waiting, all_wait = 0, 0, asyncio.Event()

    async def take(messages: AsyncIterator[bytes], _: Any) -> bytes:
        nonlocal waiting
        for _ in range(READ):
            await anext(messages)
        waiting += 1
        if waiting == STREAMS:
            all_wait.set()
        await asyncio.Event().wait()
        return b""

    def parts() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(4 * READ):
            yield bytes(MIB)
            sent += 1

    def send(address: str, over: threading.Event) -> None:
        with grpc.insecure_channel(address) as channel:
            take: Any = channel.stream_unary("/sixpoint.Test/Take")
            calls = [take.future(parts()) for _ in range(STREAMS)]
            over.wait()
            for call in calls:
                call.cancel()

    async with serving({"Take": grpc.stream_unary_rpc_method_handler(take)}) as address:
        over = threading.Event()
        sending = asyncio.create_task(asyncio.to_thread(send, address, over))
        await all_wait.wait()
        await asyncio.sleep(0.5)
        over.set()
        await sending
    # 4 MiB, and what lies on the way.
    assert sent - STREAMS * READ < STREAMS * 12
