"""Deadlines and cancellation reach Triton."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import grpc
import pytest

import sixpoint
from gateway.triton.local.server import LocalTriton
from sixpoint import errors
from sixpoint.v1 import annotation_service_pb2 as annotation_pb
from sixpoint.v1 import annotation_service_pb2_grpc as annotation_grpc
from sixpoint.v1 import volume_pb2 as volume_pb
from tests.gateway.prompts import SIX
from tests.support.images import noisy_volume
from tests.support.servers import running_gateway


def test_a_deadline_that_passes_while_triton_computes(address: str, cancelled_mark: Path) -> None:
    cancelled_mark.unlink(missing_ok=True)
    with (
        sixpoint.Client(address, timeout=sixpoint.Timeout(call=1.0)) as client,
        client.open_session(noisy_volume(), model="slow") as session,
        pytest.raises(errors.DeadlineExceeded),
    ):
        session.annotate(SIX)
    # The model says that it was given up: nobody waited for its answer.
    end = time.monotonic() + 60
    while not cancelled_mark.exists():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_call_without_a_deadline_gets_the_server_s(triton: LocalTriton) -> None:
    with (
        running_gateway(triton_url=triton.address, call_seconds=0.7) as own,
        grpc.insecure_channel(f"127.0.0.1:{own.port}") as channel,
        sixpoint.Client(f"127.0.0.1:{own.port}") as client,
        client.open_session(noisy_volume(), model="slow") as session,
    ):
        with pytest.raises(grpc.RpcError) as caught:
            annotation_grpc.AnnotationServiceStub(channel).Annotate(
                annotation_pb.AnnotateRequest(
                    session_id=session.id,
                    prompts=[
                        annotation_pb.Prompt(
                            extreme_points=annotation_pb.ExtremePoints(
                                frame=volume_pb.FRAME_VOXEL,
                                points=[volume_pb.Point(x=x, y=y, z=z) for x, y, z in SIX.points],
                            )
                        )
                    ],
                )
            )
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_cancelled_call_is_cancelled_in_triton_too(address: str, cancelled_mark: Path) -> None:
    cancelled_mark.unlink(missing_ok=True)
    async with (
        sixpoint.AsyncClient(address) as client,
        await client.open_session(noisy_volume(), model="slow") as session,
    ):
        task = asyncio.create_task(session.annotate(SIX))
        await asyncio.sleep(0.8)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        for _ in range(40):
            if cancelled_mark.exists():
                break
            await asyncio.sleep(0.05)
    assert cancelled_mark.exists()
