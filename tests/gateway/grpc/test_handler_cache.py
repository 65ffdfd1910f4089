"""Handlers of gRPC: wrapped once for each method, so that a call has few objects of its own."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import grpc
import grpc.aio
import pytest

from gateway.core.access import OpenAccess
from gateway.grpc.handler_cache import HandlerCache
from gateway.grpc.interceptors import CallInterceptor
from gateway.grpc.observation import ObservationInterceptor
from gateway.grpc.running_calls import RunningCalls
from tests.gateway.grpc.servers import DEADLINES

METHODS = ("/sixpoint.v1.ImageService/GetImage", "/grpc.health.v1.Health/Check")


async def answer(request: bytes, _: object) -> bytes:
    return request


def handler() -> Any:
    return grpc.unary_unary_rpc_method_handler(answer)


async def wrapped(interceptor: grpc.aio.ServerInterceptor, method: str, inner: Any) -> Any:
    async def continuation(_: object) -> Any:
        return inner

    details: Any = SimpleNamespace(method=method, invocation_metadata=())
    return await interceptor.intercept_service(continuation, details)


@pytest.mark.parametrize("method", METHODS)
async def test_all_calls_of_a_method_share_its_wrapped_handler(method: str) -> None:
    interceptor, inner = CallInterceptor(RunningCalls(), DEADLINES, authenticator=OpenAccess()), handler()
    first = await wrapped(interceptor, method, inner)
    assert first is not inner
    assert await wrapped(interceptor, method, inner) is first


async def test_all_calls_of_a_method_share_its_observer() -> None:
    interceptor, inner = ObservationInterceptor(lambda *_: None, tracer=None), handler()
    first = await wrapped(interceptor, METHODS[0], inner)
    assert first is not inner
    assert await wrapped(interceptor, METHODS[0], inner) is first


async def test_methods_that_do_not_exist_are_not_remembered() -> None:
    interceptor = CallInterceptor(RunningCalls(), DEADLINES, authenticator=OpenAccess())
    for number in range(3):
        assert await wrapped(interceptor, f"/sixpoint.v1.Made/Up{number}", None) is None
    assert interceptor._handlers._wrapped == {}


def test_another_handler_of_a_method_is_wrapped_anew() -> None:
    cache, handlers = HandlerCache(lambda method, inner: (method, inner)), (handler(), handler())
    for inner in (*handlers, handlers[0]):
        assert cache.get("/a/B", inner)[1] is inner
