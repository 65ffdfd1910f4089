"""A process that calls a gateway with invented tokens, at a steady rate: python -m ... ADDRESS SECONDS RATE.

It prints a line once it begins, and how its calls ended, as JSON, at the end.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections import Counter
from typing import Any

import grpc
import grpc.aio

from gateway.authentication.token_editing import new_token

_METHOD = "/sixpoint.v1.ModelService/ListModels"
_CONNECTIONS = 8
_TICK_S = 0.01


async def guess(address: str, *, seconds: float, rate: int) -> Counter[str]:
    """Call at a rate, without waiting for answers; count the codes."""
    codes = Counter[str]()
    options = (("grpc.use_local_subchannel_pool", 1),)
    channels = [grpc.aio.insecure_channel(address, options) for _ in range(_CONNECTIONS)]
    methods: list[Any] = [channel.unary_unary(_METHOD) for channel in channels]

    async def call(number: int) -> None:
        try:
            metadata = (("authorization", f"Bearer {new_token()}"),)
            await methods[number % _CONNECTIONS](b"", metadata=metadata, timeout=20)
            codes["OK"] += 1
        except grpc.aio.AioRpcError as error:
            codes[error.code().name] += 1

    began, calls = time.monotonic(), set[asyncio.Task[None]]()
    started = 0
    while (elapsed := time.monotonic() - began) < seconds:
        for number in range(started, int(elapsed * rate)):
            task = asyncio.create_task(call(number))
            calls.add(task)
            task.add_done_callback(calls.discard)
            started += 1
        await asyncio.sleep(_TICK_S)
    await asyncio.gather(*calls)
    for channel in channels:
        await channel.close()
    return codes


if __name__ == "__main__":
    # It stands for another machine.
    os.nice(19)
    print("guessing", flush=True)  # noqa: T201
    print(json.dumps(asyncio.run(guess(sys.argv[1], seconds=float(sys.argv[2]), rate=int(sys.argv[3])))))  # noqa: T201
