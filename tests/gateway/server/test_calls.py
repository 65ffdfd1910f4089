"""Every call over real gRPC, against the real Triton: what works, and what each piece of bad input is told."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2, status_pb2

import sixpoint
from gateway.triton.local.server import LocalTriton
from sixpoint import errors
from sixpoint.protocol import error_from_rpc, geometry_to_message
from sixpoint.v1 import annotation_service_pb2 as annotation_pb
from sixpoint.v1 import annotation_service_pb2_grpc as annotation_grpc
from sixpoint.v1 import image_service_pb2 as image_pb
from sixpoint.v1 import image_service_pb2_grpc as image_grpc
from sixpoint.v1 import model_service_pb2 as model_pb
from sixpoint.v1 import model_service_pb2_grpc as model_grpc
from sixpoint.v1 import session_service_pb2 as session_pb
from sixpoint.v1 import session_service_pb2_grpc as session_grpc
from sixpoint.v1 import volume_pb2 as volume_pb
from tests.gateway.prompts import SIX
from tests.support.images import noisy_volume
from tests.support.servers import running_gateway


@pytest.fixture
def channel(address: str) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(address) as channel:
        yield channel


@pytest.fixture
def session(client: sixpoint.Client) -> Iterator[sixpoint.Session]:
    with client.open_session(noisy_volume(), model="ellipsoid") as session:
        yield session


def header(volume: sixpoint.Volume, **changes: object) -> image_pb.UploadImageRequest:
    values = {
        "digest": volume.digest,
        "geometry": geometry_to_message(volume.geometry),
        "voxel_type": volume_pb.VOXEL_TYPE_INT16,
        "byte_count": volume.array.nbytes,
    }
    return image_pb.UploadImageRequest(header=image_pb.Image(**(values | changes)))


def chunk(data: bytes) -> image_pb.UploadImageRequest:
    return image_pb.UploadImageRequest(chunk=data)


def refused(channel: grpc.Channel, *messages: image_pb.UploadImageRequest) -> errors.SixpointError:
    with pytest.raises(grpc.RpcError) as caught:
        image_grpc.ImageServiceStub(channel).UploadImage(iter(messages))
    return error_from_rpc(caught.value)


# What works


def test_models_are_listed_with_what_they_say_of_themselves(client: sixpoint.Client) -> None:
    found = {model.name: model for model in client.models()}
    assert found["ellipsoid"].title == "The ellipsoid in the points' box"
    assert found["ellipsoid"].prompts == ("extreme_points",)
    assert found["ellipsoid"].version == "1"


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


def test_an_image_is_uploaded_once(client: sixpoint.Client) -> None:
    volume = noisy_volume((30, 31, 33))
    told: list[tuple[int, int]] = []
    client.upload(volume, progress=lambda sent, total: told.append((sent, total)))
    assert told == [(volume.array.nbytes, volume.array.nbytes)]
    client.upload(volume, progress=lambda sent, total: told.append((sent, total)))
    assert len(told) == 1


def test_an_uploaded_image_is_described_by_its_digest(channel: grpc.Channel, client: sixpoint.Client) -> None:
    volume = noisy_volume()
    client.upload(volume)
    found = image_grpc.ImageServiceStub(channel).GetImage(image_pb.GetImageRequest(digest=volume.digest)).image
    assert found.byte_count == volume.array.nbytes
    assert found.voxel_type == volume_pb.VOXEL_TYPE_INT16
    assert list(found.geometry.size) == [40, 36, 32]


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64", ">i2"])
def test_every_voxel_type_arrives_as_the_same_image(client: sixpoint.Client, dtype: str) -> None:
    values = np.random.default_rng(1).integers(0, 100, (32, 36, 40)).astype(dtype)
    volume = sixpoint.Volume(values, noisy_volume().geometry)
    with client.open_session(volume, model="ellipsoid") as session:
        assert session.annotate(SIX).array.any()


def test_an_image_of_many_chunks_arrives_whole(client: sixpoint.Client) -> None:
    volume = noisy_volume((200, 180, 150))
    assert volume.array.nbytes > 10 * 2**20
    with client.open_session(volume, model="ellipsoid") as session:
        assert session.annotate(SIX).array.any()


def test_a_session_is_described_and_closed(channel: grpc.Channel, session: sixpoint.Session) -> None:
    stub = session_grpc.SessionServiceStub(channel)
    session.annotate(SIX)
    found = stub.GetSession(session_pb.GetSessionRequest(session_id=session.id)).session
    assert (found.model, found.revision) == ("ellipsoid", 1)
    assert found.image_digest == session.volume.digest
    assert found.expire_time.ToDatetime() > found.create_time.ToDatetime()
    session.close()
    with pytest.raises(grpc.RpcError) as caught:
        stub.GetSession(session_pb.GetSessionRequest(session_id=session.id))
    assert isinstance(error_from_rpc(caught.value), errors.SessionNotFound)


# Bad points


def test_fewer_than_six_points(session: sixpoint.Session) -> None:
    with pytest.raises(errors.PromptError, match="got 5"):
        session.annotate(sixpoint.ExtremePoints(SIX.points[:5]))


def test_points_outside_the_image_are_named_with_the_bounds(session: sixpoint.Session) -> None:
    outside = (400.0, 17.0, 15.0)
    with pytest.raises(errors.PromptError, match=r"points\[6\] at voxel \(400, 17, 15\)") as caught:
        session.annotate(sixpoint.ExtremePoints([*SIX.points, outside]))
    assert "x -0.5..39.5" in caught.value.message
    assert [violation.field for violation in caught.value.violations] == ["prompts[0].points[6]"]


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
        sixpoint.ExtremePoints(SIX.points, frame="mm")


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


# Unknown things


def test_an_unknown_model_is_told_which_there_are(client: sixpoint.Client) -> None:
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


# Bad uploads


def test_an_upload_that_is_cut_short(channel: grpc.Channel) -> None:
    volume = noisy_volume((21, 22, 23))
    error = refused(channel, header(volume), chunk(volume.array.tobytes()[:500]))
    assert isinstance(error, errors.UploadError)
    assert "500 of 21252 bytes" in error.message


def test_an_upload_with_a_wrong_checksum(channel: grpc.Channel) -> None:
    volume = noisy_volume((21, 22, 23))
    error = refused(channel, header(volume, digest="ab" * 32), chunk(volume.array.tobytes()))
    assert isinstance(error, errors.ChecksumMismatch)


def test_an_upload_without_a_header(channel: grpc.Channel) -> None:
    assert isinstance(refused(channel, chunk(b"123")), errors.UploadError)
    assert isinstance(refused(channel), errors.UploadError)


def test_an_upload_with_two_headers(channel: grpc.Channel) -> None:
    volume = noisy_volume()
    assert "one header" in refused(channel, header(volume), header(volume)).message


def test_a_header_that_claims_a_hundred_gigabytes(channel: grpc.Channel) -> None:
    geometry = volume_pb.Geometry(
        size=[10_000, 10_000, 500], spacing=[1, 1, 1], origin=[0, 0, 0], direction=[1, 0, 0, 0, 1, 0, 0, 0, 1]
    )
    error = refused(channel, header(noisy_volume(), geometry=geometry, byte_count=100_000_000_000))
    assert isinstance(error, errors.ResourceExhausted)
    assert "SIXPOINT_MAX_IMAGE_BYTES" in error.message


def test_a_voxel_type_that_is_not_supported(channel: grpc.Channel) -> None:
    error = refused(channel, header(noisy_volume(), voxel_type=volume_pb.VOXEL_TYPE_UNSPECIFIED))
    assert isinstance(error, errors.VolumeError)
    assert error.violations[0].field == "header.voxel_type"
    with pytest.raises(errors.VolumeError, match="complex64 are not supported"):
        sixpoint.Volume(np.zeros((4, 4, 4), np.complex64), sixpoint.Geometry(size=(4, 4, 4)))


def test_a_geometry_with_too_few_numbers(channel: grpc.Channel) -> None:
    error = refused(channel, header(noisy_volume(), geometry=volume_pb.Geometry(size=[40, 36, 32])))
    assert isinstance(error, errors.VolumeError)
    assert "spacing needs 3 numbers, got 0" in error.message


def test_an_image_with_nan(client: sixpoint.Client) -> None:
    volume = noisy_volume(dtype="float32")
    volume.array[1, 2, 3] = np.nan
    with pytest.raises(errors.VolumeError, match="1 voxels that are NaN"):
        client.upload(volume)


def test_a_two_dimensional_image(client: sixpoint.Client) -> None:
    with pytest.raises(errors.VolumeError, match="at least two voxels along each axis"):
        client.upload(noisy_volume((40, 36, 1)))


# Errors on the wire


def test_errors_carry_standard_details(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        model_grpc.ModelServiceStub(channel).GetModel(model_pb.GetModelRequest(name="spleen"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    trailers = dict(caught.value.trailing_metadata())
    status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (info.reason, info.domain) == ("MODEL_NOT_FOUND", "sixpoint")


# Deadlines and cancellation, down to Triton


def test_a_deadline_that_passes_while_triton_computes(address: str) -> None:
    with (
        sixpoint.Client(address, timeout=sixpoint.Timeout(call=1.0)) as client,
        client.open_session(noisy_volume(), model="slow") as session,
    ):
        started = time.monotonic()
        with pytest.raises(errors.DeadlineExceeded):
            session.annotate(SIX)
        assert time.monotonic() - started < 2.5


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
