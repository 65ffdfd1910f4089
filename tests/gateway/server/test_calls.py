"""Calls over real gRPC, against the real Triton: what works, and how bad input is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2, status_pb2

import sixpoint
from sixpoint import errors
from sixpoint.protocol import error_from_rpc
from sixpoint.v1 import annotation_service_pb2 as annotation_pb
from sixpoint.v1 import annotation_service_pb2_grpc as annotation_grpc
from sixpoint.v1 import model_service_pb2 as model_pb
from sixpoint.v1 import model_service_pb2_grpc as model_grpc
from sixpoint.v1 import session_service_pb2 as session_pb
from sixpoint.v1 import session_service_pb2_grpc as session_grpc
from sixpoint.v1 import volume_pb2 as volume_pb
from tests.gateway.prompts import SIX
from tests.support.images import noisy_volume


@pytest.fixture
def session(client: sixpoint.Client) -> Iterator[sixpoint.Session]:
    with client.open_session(noisy_volume(), model="ellipsoid") as session:
        yield session


def test_models_are_listed_with_what_they_say_of_themselves(client: sixpoint.Client) -> None:
    described = {model.name: model for model in client.models()}
    assert described["ellipsoid"].title == "The ellipsoid in the points' box"
    assert described["ellipsoid"].prompts == ("extreme_points",)
    assert described["ellipsoid"].version == "1"


def test_filters_choose_among_models(client: sixpoint.Client) -> None:
    assert "ellipsoid" in {model.name for model in client.models(modality="CT", prompt="extreme_points")}
    assert "ellipsoid" not in {model.name for model in client.models(modality="US")}
    assert client.models(label="no such organ") == []
    assert client.models(task="annotation")


def test_one_model_is_described(channel: grpc.Channel) -> None:
    response = model_grpc.ModelServiceStub(channel).GetModel(model_pb.GetModelRequest(name="ellipsoid"))
    assert response.model.task == model_pb.TASK_ANNOTATION


def test_six_points_become_a_mask_on_the_image_s_grid(session: sixpoint.Session) -> None:
    mask = session.annotate(SIX)
    assert session.volume is not None
    assert mask.array.shape == session.volume.array.shape
    assert mask.array.dtype == np.uint8
    assert set(np.unique(mask.array)) == {0, 1}
    assert mask.volume_ml == pytest.approx(4 / 3 * np.pi * 11.5 * 10.5 * 9.5 / 1000, rel=0.05)
    assert (mask.model, mask.model_version, mask.revision) == ("ellipsoid", "1", 1)
    assert mask.timings.inference.total_seconds() > 0
    assert mask.reply_bytes < mask.array.nbytes * 0.02


def test_the_same_points_give_the_same_mask_and_the_next_revision(session: sixpoint.Session) -> None:
    first, second = session.annotate(SIX), session.annotate(SIX)
    assert np.array_equal(first.array, second.array)
    assert second.revision == session.revision == 2


async def test_the_asynchronous_client_gives_the_same_mask(address: str, session: sixpoint.Session) -> None:
    expected = session.annotate(SIX)
    async with sixpoint.AsyncClient(address) as client:
        assert [model.name for model in await client.models()] == sorted(model.name for model in await client.models())
        async with await client.open_session(noisy_volume(), model="ellipsoid") as own:
            mask = await own.annotate(SIX)
    assert np.array_equal(mask.array, expected.array)


def test_a_session_is_described_and_closed(channel: grpc.Channel, session: sixpoint.Session) -> None:
    stub = session_grpc.SessionServiceStub(channel)
    session.annotate(SIX)
    described = stub.GetSession(session_pb.GetSessionRequest(session_id=session.id)).session
    assert (described.model, described.revision) == ("ellipsoid", 1)
    assert session.volume is not None
    assert described.image_digest == session.volume.digest
    assert described.expire_time.ToDatetime() > described.create_time.ToDatetime()
    session.close()
    with pytest.raises(grpc.RpcError) as caught:
        stub.GetSession(session_pb.GetSessionRequest(session_id=session.id))
    assert isinstance(error_from_rpc(caught.value), errors.SessionNotFound)


def test_fewer_than_six_points(session: sixpoint.Session) -> None:
    with pytest.raises(errors.PromptError, match="got 5"):
        session.annotate(sixpoint.ExtremePoints(SIX.points[:5]))


def test_points_outside_the_image_are_named_with_the_bounds(session: sixpoint.Session) -> None:
    outside = (400.0, 17.0, 15.0)
    with pytest.raises(errors.PromptError, match=r"points\[6\] at voxel \(400, 17, 15\)") as caught:
        session.annotate(sixpoint.ExtremePoints([*SIX.points, outside]))
    assert "x -0.5..39.5" in caught.value.message
    assert [violation.field for violation in caught.value.violations] == ["prompts[0].extreme_points.points[6]"]


def test_points_all_in_one_plane(session: sixpoint.Session) -> None:
    flat = [(x, y, 15.0) for x, y, _ in SIX.points]
    with pytest.raises(errors.PromptError, match="in one plane"):
        session.annotate(sixpoint.ExtremePoints(flat))


def test_a_frame_that_is_not_named(channel: grpc.Channel, session: sixpoint.Session) -> None:
    request = annotation_pb.AnnotateRequest(
        session_id=session.id,
        prompts=[annotation_pb.Prompt(extreme_points=annotation_pb.ExtremePoints(points=[volume_pb.Point(x=1)] * 6))],
    )
    with pytest.raises(grpc.RpcError) as caught:
        annotation_grpc.AnnotationServiceStub(channel).Annotate(request)
    error = error_from_rpc(caught.value)
    assert isinstance(error, errors.PromptError)
    assert "FRAME_LPS" in error.message


def test_a_frame_of_a_wrong_name() -> None:
    with pytest.raises(errors.PromptError, match="unknown frame 'mm'"):
        sixpoint.ExtremePoints(SIX.points, frame="mm")  # type: ignore[arg-type]


def test_points_that_are_not_numbers(channel: grpc.Channel, session: sixpoint.Session) -> None:
    nan = volume_pb.Point(x=float("nan"))
    prompt = annotation_pb.ExtremePoints(frame=volume_pb.FRAME_VOXEL, points=[nan] * 6)
    request = annotation_pb.AnnotateRequest(
        session_id=session.id, prompts=[annotation_pb.Prompt(extreme_points=prompt)]
    )
    with pytest.raises(grpc.RpcError) as caught:
        annotation_grpc.AnnotationServiceStub(channel).Annotate(request)
    assert "finite" in error_from_rpc(caught.value).message


def test_no_prompt_at_all(channel: grpc.Channel, session: sixpoint.Session) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        annotation_grpc.AnnotationServiceStub(channel).Annotate(annotation_pb.AnnotateRequest(session_id=session.id))
    assert "at least one prompt" in error_from_rpc(caught.value).message


def test_a_refused_prompt_leaves_the_session_as_it_was(session: sixpoint.Session) -> None:
    first = session.annotate(SIX)
    with pytest.raises(errors.PromptError):
        session.annotate(sixpoint.ExtremePoints(SIX.points[:3]))
    second = session.annotate(SIX)
    assert second.revision == 2
    assert np.array_equal(first.array, second.array)


def test_an_unknown_model_is_refused_with_the_names_of_the_others(client: sixpoint.Client) -> None:
    with pytest.raises(errors.ModelNotFound, match="ellipsoid"):
        client.open_session(noisy_volume(), model="no-such-model")


def test_an_unknown_image(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        session_grpc.SessionServiceStub(channel).CreateSession(
            session_pb.CreateSessionRequest(image_digest="0" * 64, model="ellipsoid")
        )
    assert isinstance(error_from_rpc(caught.value), errors.ImageNotFound)


def test_an_unknown_session(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        annotation_grpc.AnnotationServiceStub(channel).Annotate(annotation_pb.AnnotateRequest(session_id="made-up"))
    assert isinstance(error_from_rpc(caught.value), errors.SessionNotFound)


def test_errors_carry_standard_details(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        model_grpc.ModelServiceStub(channel).GetModel(model_pb.GetModelRequest(name="spleen"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    trailers: dict[str, bytes] = dict(caught.value.trailing_metadata())  # type: ignore[arg-type]  # gRPC types metadata as pairs of its own
    status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (info.reason, info.domain) == ("MODEL_NOT_FOUND", "sixpoint")


def test_logs_are_json_without_anything_of_the_image(
    address: str, caplog: pytest.LogCaptureFixture, client: sixpoint.Client, tmp_path: Path
) -> None:
    from gateway.observability.logs import JsonFormatter

    image = tmp_path / "Doe^Jane.nii.gz"
    noisy_volume((17, 18, 19)).write(image)
    with caplog.at_level("DEBUG"), client.open_session(image, model="ellipsoid") as session:
        session.annotate(sixpoint.ExtremePoints([(x * 0.4, y * 0.4, z * 0.4) for x, y, z in SIX.points]))
        session_id = session.id
    lines = [JsonFormatter().format(record) for record in caplog.records]
    calls = [json.loads(line) for line in lines if json.loads(line)["message"] == "call"]
    assert {call["method"].rsplit("/")[-1] for call in calls} >= {"UploadImage", "CreateSession", "Annotate"}
    text = "\n".join(lines)
    assert "Doe" not in text
    assert session_id not in text
    assert noisy_volume((17, 18, 19)).digest not in text
