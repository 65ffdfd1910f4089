"""Connections that grow old, through the SDK without retries: no upload, prompt or viewer's stream fails for it."""

from __future__ import annotations

import asyncio

import pytest

import sixpoint
from gateway.triton.local.server import LocalTriton
from tests.gateway.prompts import ADD, SIX
from tests.support.images import noisy_volume
from tests.support.proxies import Proxy
from tests.support.servers import running_gateway

AGE_S = 0.4
# Calls of each kind.
LEAST = 4


@pytest.mark.filterwarnings("ignore::sixpoint.model_spec.ImplausibleImageWarning")
async def test_no_call_fails_for_the_age_of_its_connection(triton: LocalTriton) -> None:
    with running_gateway(triton_url=triton.address, connection_age_seconds=AGE_S) as gateway:
        proxy = Proxy(f"127.0.0.1:{gateway.port}")
        client = sixpoint.AsyncClient(proxy.address, retry=sixpoint.Retry.none())
        async with client, await client.open_session(noisy_volume(), model="clicks") as session:
            viewed = await client.open_session(noisy_volume(), model="clicks")
            end = asyncio.get_running_loop().time() + 8 * AGE_S

            def goes_on(number: int) -> bool:
                return number < LEAST or asyncio.get_running_loop().time() < end

            async def prompt() -> int:
                number = 0
                await session.annotate(SIX)
                while goes_on(number):
                    await session.annotate(ADD)
                    number += 1
                return number

            async def upload() -> int:
                number = 0
                while goes_on(number):
                    number += 1
                    await (await client.open_session(noisy_volume((40, 36, 20 + number % 60)), model="clicks")).close()
                return number

            async def view() -> int:
                answers = 0
                async with viewed.interact() as stream:
                    await stream.send(SIX)
                    async for event in stream:
                        if isinstance(event, sixpoint.Answered):
                            answers += 1
                            if goes_on(answers):
                                await stream.send(ADD)
                            else:
                                await stream.end()
                return answers

            done = await asyncio.gather(prompt(), upload(), view())
        # The stream was open on a connection that took no new calls.
        assert len(proxy.passed) > 3
        assert min(done) >= LEAST
        proxy.close()
