"""What a gateway that stops waits for, and what it does not wait for."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from sixpoint.v1 import annotation_service_pb2 as annotation_pb
from sixpoint.v1 import annotation_service_pb2_grpc as annotation_grpc
from tests.support.ports import free_port
from tests.support.servers import running_gateway

# What a stop that waits for all calls would take.
DRAIN_SECONDS = 30.0


def _watch_health(channel: grpc.Channel) -> grpc.Call:
    watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
    assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING
    return watch


def _reflect(channel: grpc.Channel) -> grpc.Call:
    asked = queue.SimpleQueue[reflection_pb2.ServerReflectionRequest]()
    asked.put(reflection_pb2.ServerReflectionRequest(list_services=""))
    call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter(asked.get, None))
    next(call)
    return call


def _interact(channel: grpc.Channel) -> grpc.Call:
    actions = queue.SimpleQueue[annotation_pb.InteractRequest | None]()
    actions.put(annotation_pb.InteractRequest(id=1, get_mask=annotation_pb.GetMaskRequest(session_id="none")))
    call = annotation_grpc.AnnotationServiceStub(channel).Interact(iter(actions.get, None))
    assert next(call).HasField("failure")
    return call


@pytest.mark.parametrize("wait", [_watch_health, _reflect, _interact], ids=["health", "reflection", "viewer"])
def test_a_gateway_that_stops_does_not_wait_for_a_client_that_waits(wait: Callable[[grpc.Channel], grpc.Call]) -> None:
    away = f"127.0.0.1:{free_port()}"
    with grpc.insecure_channel(f"127.0.0.1:{(port := free_port())}") as channel:
        with running_gateway(ready=False, port=port, triton_url=away, drain_seconds=DRAIN_SECONDS):
            call = wait(channel)
            began = time.monotonic()
        assert time.monotonic() - began < DRAIN_SECONDS / 3
        assert call.code() is grpc.StatusCode.UNAVAILABLE
