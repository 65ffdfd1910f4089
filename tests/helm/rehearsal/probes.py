"""Probes as the manifests write them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

__all__ = ["ask", "until_failed", "until_succeeded", "watch"]


async def ask(probe: dict[str, Any], address: str) -> bool:
    """Whether a probe succeeds now, within its timeout.

    Raises:
        NotImplementedError: The probe is not gRPC's.
    """
    if "grpc" not in probe:
        raise NotImplementedError(f"expected a gRPC probe, and found {sorted(probe)}")
    action = probe["grpc"]
    # A new connection each time, as the kubelet makes it; without the proxy of the environment.
    options = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(f"{address}:{action['port']}", options=options) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        request = health_pb2.HealthCheckRequest(service=action.get("service", ""))
        try:
            answer = await stub.Check(request, timeout=probe.get("timeoutSeconds", 1))
        except grpc.RpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


async def watch(probe: dict[str, Any], address: str, change: Callable[[bool], None]) -> None:
    """Ask for ever; tell when as many probes in a row succeeded or failed as count."""
    state, row, last = None, 0, None
    while True:
        began = time.monotonic()
        answer = await ask(probe, address)
        row = row + 1 if answer == last else 1
        last = answer
        needed = probe.get("successThreshold", 1) if answer else probe.get("failureThreshold", 3)
        if answer != state and row >= needed:
            state = answer
            change(answer)
        await _next_turn(probe, began)


async def until_succeeded(probe: dict[str, Any], address: str) -> bool:
    """Ask until a probe succeeds; False if it failed as often as it may before."""
    await asyncio.sleep(probe.get("initialDelaySeconds", 0))
    for _ in range(probe.get("failureThreshold", 3)):
        began = time.monotonic()
        if await ask(probe, address):
            return True
        await _next_turn(probe, began)
    return False


async def until_failed(probe: dict[str, Any], address: str) -> None:
    """Ask until a probe failed so often in a row that the container is restarted."""
    failed = asyncio.Event()
    watching = asyncio.create_task(watch(probe, address, lambda answer: None if answer else failed.set()))
    try:
        await failed.wait()
    finally:
        watching.cancel()


async def _next_turn(probe: dict[str, Any], began: float) -> None:
    """Wait for the next period: a probe that takes long does not put it off."""
    await asyncio.sleep(max(0.0, began + probe.get("periodSeconds", 10) - time.monotonic()))
