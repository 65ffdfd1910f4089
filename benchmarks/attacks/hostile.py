"""The process of the hostile callers: prepare, attack for some seconds, report.

It prints ``ready`` when the attack starts, and the account as a line of JSON when it is over::

    python -m benchmarks.attacks.hostile "mask bomb" --server 127.0.0.1:50051 --callers 10 --small DIGEST
"""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import AsyncExitStack
from typing import Annotated

import grpc
import typer

from benchmarks.attacks.callers import Account, HostileCaller, Images
from benchmarks.attacks.catalogue import ATTACKS, Attack

__all__ = ["attack"]

# Hostile callers stand for other machines: their own work must not take cores from the gateway.
_NICENESS = 10
_PREPARED_AT_ONCE = 8


async def attack(kind: Attack, *, server: str, http: str, callers: int, images: Images, seconds: float) -> Account:
    """Carry out an attack.

    Args:
        kind: Kind of the attack.
        server: Address of the gateway, host:port.
        http: Address of its HTTP port, host:port.
        callers: Number of callers, each with an owner and a connection of its own.
        images: Stored images.
        seconds: How long it lasts, without preparation.

    Returns:
        What was sent and answered, preparation included.
    """
    account = Account()
    async with AsyncExitStack() as stack:
        crowd = [
            await stack.enter_async_context(
                HostileCaller(server, http=http, number=number, callers=callers, images=images, account=account)
            )
            for number in range(callers)
        ]
        few = asyncio.Semaphore(_PREPARED_AT_ONCE)

        async def prepare(caller: HostileCaller) -> None:
            async with few:
                try:
                    await kind.prepare(caller)
                except grpc.RpcError as error:
                    # Refused: it attacks all the same.
                    account.codes[f"prepare {error.code().name}"] += 1

        await asyncio.gather(*map(prepare, crowd))
        typer.echo("ready")
        tasks = [asyncio.create_task(_repeat(kind, caller)) for caller in crowd for _ in range(kind.calls(callers))]
        await asyncio.sleep(seconds)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=2.0)
    return account


async def _repeat(kind: Attack, caller: HostileCaller) -> None:
    while True:
        await kind.work(caller)
        # Refusals come at once: give the others a turn.
        await asyncio.sleep(0)


def main(
    name: Annotated[str, typer.Argument(help="Name of the attack.")],
    server: Annotated[str, typer.Option(help="The gateway.")] = "127.0.0.1:50051",
    http: Annotated[str, typer.Option(help="Its HTTP port.")] = "127.0.0.1:8080",
    callers: Annotated[int, typer.Option(min=1, help="Number of callers.")] = 1,
    small: Annotated[str, typer.Option(help="Digest of the small image.")] = "",
    large: Annotated[str, typer.Option(help="Digest of the large image.")] = "",
    seconds: Annotated[float, typer.Option(help="How long to attack.")] = 5.0,
) -> None:
    """Attack a gateway."""
    os.nice(_NICENESS)
    images = Images(small, large)
    work = attack(ATTACKS[name], server=server, http=http, callers=callers, images=images, seconds=seconds)
    account = asyncio.run(work)
    typer.echo(json.dumps({"codes": account.codes, "request_bytes": account.request_bytes}))
    # Thousands of open calls take gRPC a long time to end in order.
    os._exit(0)


if __name__ == "__main__":
    typer.run(main)
