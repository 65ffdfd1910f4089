"""Two gateways on one database and one blob store that serve one session at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

import sixpoint
from gateway.triton.local.server import LocalTriton
from sixpoint.protocol import prompt_to_message
from sixpoint.v1 import annotation_service_pb2 as annotation_pb
from sixpoint.v1 import annotation_service_pb2_grpc as annotation_grpc
from sixpoint.v1 import session_service_pb2 as session_pb
from sixpoint.v1 import session_service_pb2_grpc as session_grpc
from tests.gateway.prompts import SIX
from tests.support.images import noisy_volume
from tests.support.servers import running_gateway

CALLS = 12


@pytest.fixture
def channels(triton: LocalTriton, database_url: str, tmp_path: Path) -> Iterator[list[grpc.Channel]]:
    """A channel to each of the two gateways."""
    settings = {"triton_url": triton.address, "database_url": database_url, "blobs_url": f"{tmp_path}/blobs"}
    with (
        running_gateway(**settings) as first,  # type: ignore[arg-type]
        running_gateway(**settings) as second,  # type: ignore[arg-type]
        grpc.insecure_channel(f"127.0.0.1:{first.port}") as to_first,
        grpc.insecure_channel(f"127.0.0.1:{second.port}") as to_second,
    ):
        yield [to_first, to_second]


@pytest.fixture
def session_id(channels: list[grpc.Channel], triton: LocalTriton) -> str:
    volume = noisy_volume()
    address = channels[0]._channel.target().decode()  # type: ignore[attr-defined]
    with sixpoint.Client(address) as client:
        client.upload(volume)
    request = session_pb.CreateSessionRequest(image_digest=volume.digest, model="clicks")
    session = session_grpc.SessionServiceStub(channels[0]).CreateSession(request).session
    _annotate(channels[0], session.id, SIX)
    return session.id


def _annotate(channel: grpc.Channel, session_id: str, *prompts: sixpoint.Prompt, revision: int | None = None) -> int:
    request = annotation_pb.AnnotateRequest(session_id=session_id, prompts=map(prompt_to_message, prompts))
    if revision is not None:
        request.revision = revision
    return annotation_grpc.AnnotationServiceStub(channel).Annotate(request, timeout=60).answer.revision


def _failures(channels: list[grpc.Channel], call: Callable[[grpc.Channel, int], object]) -> list[str]:
    """Make calls through both gateways at once; return the codes of those that fail."""

    def codes(channel: grpc.Channel) -> list[str]:
        failed = []
        for number in range(CALLS):
            try:
                call(channel, number)
            except grpc.RpcError as error:
                failed.append(f"{error.code().name}: {error.details()}")
        return failed

    with ThreadPoolExecutor(4) as pool:
        return [code for failed in pool.map(codes, channels * 2) for code in failed]


def test_calls_without_a_revision_wait_for_each_other(channels: list[grpc.Channel], session_id: str) -> None:
    def click(channel: grpc.Channel, number: int) -> None:
        _annotate(channel, session_id, sixpoint.Click((3 + number, 17, 16)))

    assert _failures(channels, click) == []
    steps = session_grpc.SessionServiceStub(channels[1]).ListSteps(session_pb.ListStepsRequest(session_id=session_id))
    assert len(steps.steps) == 1 + 4 * CALLS


def test_names_of_segments_without_a_revision_wait_for_each_other(
    channels: list[grpc.Channel], session_id: str
) -> None:
    def rename(channel: grpc.Channel, number: int) -> None:
        segment = session_pb.Segment(number=1, name=f"lesion {number}")
        request = session_pb.UpdateSessionRequest(session_id=session_id, segments=[segment])
        session_grpc.SessionServiceStub(channel).UpdateSession(request, timeout=60)

    assert _failures(channels, rename) == []


def test_a_call_with_a_stale_revision_is_aborted(channels: list[grpc.Channel], session_id: str) -> None:
    click = sixpoint.Click((3, 17, 16))
    assert _annotate(channels[1], session_id, click, revision=1) == 2
    with pytest.raises(grpc.RpcError) as caught:
        _annotate(channels[0], session_id, click, revision=1)
    assert caught.value.code() is grpc.StatusCode.ABORTED
    assert _annotate(channels[0], session_id, click) == 3
