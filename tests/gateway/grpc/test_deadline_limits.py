"""How late a client may set its deadline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import grpc.aio
import pytest

from tests.gateway.grpc.servers import serving, with_maximum

_TEN_YEARS_S = 10 * 365 * 86400.0


async def never(request: Any, context: Any) -> bytes:
    await asyncio.Event().wait()
    return b""


_KINDS: dict[str, tuple[Callable[..., Any], str]] = {
    "unary_unary": (grpc.unary_unary_rpc_method_handler, "CALL"),
    "stream_unary": (grpc.stream_unary_rpc_method_handler, "UPLOAD"),
    "unary_stream": (grpc.unary_stream_rpc_method_handler, "SEGMENTATION"),
    "stream_stream": (grpc.stream_stream_rpc_method_handler, "STREAM"),
}


@pytest.mark.parametrize("kind", _KINDS)
@pytest.mark.parametrize("timeout", [_TEN_YEARS_S, None])
async def test_no_call_lasts_longer_than_the_limit(kind: str, timeout: float | None) -> None:
    handler, name = _KINDS[kind]
    async with (
        serving({"Wait": handler(never)}, deadlines=with_maximum(0.4)) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        method: Any = getattr(channel, kind)("/sixpoint.Test/Wait")
        started = time.monotonic()
        call = method(*([b""] if kind.startswith("unary") else []), timeout=timeout)
        code, details = await call.code(), await call.details()
    assert time.monotonic() - started > (0.19 if timeout is None else 0.39)
    assert code is grpc.StatusCode.DEADLINE_EXCEEDED
    setting = f"SIXPOINT_{name}_SECONDS" if timeout is None else f"SIXPOINT_MAX_{name}_SECONDS"
    assert f"({setting})" in details


async def test_a_deadline_within_the_limit_is_the_clients_own() -> None:
    async with (
        serving({"Wait": grpc.unary_unary_rpc_method_handler(never)}, deadlines=with_maximum(30.0)) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        method: Any = channel.unary_unary("/sixpoint.Test/Wait")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await method(b"", timeout=0.2)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_request_that_does_not_arrive_is_awaited_no_longer_than_the_limit() -> None:
    async def nothing() -> AsyncIterator[bytes]:
        await asyncio.Event().wait()
        yield b""

    async with (
        serving({"Wait": grpc.unary_unary_rpc_method_handler(never)}, deadlines=with_maximum(0.4)) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        method: Any = channel.stream_unary("/sixpoint.Test/Wait")
        assert await method(nothing()).code() is grpc.StatusCode.DEADLINE_EXCEEDED
