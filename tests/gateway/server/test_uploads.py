"""Uploads over real gRPC: what works, and how bad uploads are refused."""

from __future__ import annotations

from typing import Any

import grpc
import numpy as np
import pytest

import sixpoint
from sixpoint import errors
from sixpoint.protocol import error_from_rpc, geometry_to_message
from sixpoint.v1 import image_service_pb2 as image_pb
from sixpoint.v1 import image_service_pb2_grpc as image_grpc
from sixpoint.v1 import volume_pb2 as volume_pb
from tests.gateway.prompts import SIX
from tests.support.images import noisy_volume


def header(volume: sixpoint.Volume, **changes: Any) -> image_pb.UploadImageRequest:
    values: dict[str, Any] = {
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


def test_an_image_is_uploaded_once(client: sixpoint.Client) -> None:
    volume = noisy_volume((30, 31, 33))
    reported: list[tuple[int, int]] = []
    client.upload(volume, progress=lambda sent, total: reported.append((sent, total)))
    assert reported == [(volume.array.nbytes, volume.array.nbytes)]
    client.upload(volume, progress=lambda sent, total: reported.append((sent, total)))
    assert len(reported) == 1


def test_an_uploaded_image_is_described_by_its_digest(channel: grpc.Channel, client: sixpoint.Client) -> None:
    volume = noisy_volume()
    client.upload(volume)
    stored = image_grpc.ImageServiceStub(channel).GetImage(image_pb.GetImageRequest(digest=volume.digest)).image
    assert stored.byte_count == volume.array.nbytes
    assert stored.voxel_type == volume_pb.VOXEL_TYPE_INT16
    assert list(stored.geometry.size) == [40, 36, 32]


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


@pytest.mark.parametrize(("field", "value"), [("spacing", 1e300), ("spacing", 5e-324), ("origin", -1e300)])
def test_a_geometry_that_no_scanner_gives(channel: grpc.Channel, field: str, value: float) -> None:
    geometry = geometry_to_message(noisy_volume().geometry)
    getattr(geometry, field)[1] = value
    error = refused(channel, header(noisy_volume(), geometry=geometry))
    assert isinstance(error, errors.VolumeError)
    assert [violation.field for violation in error.violations] == [f"header.geometry.{field}"]


def test_an_image_with_nan(channel: grpc.Channel) -> None:
    # Not through the client, which sends no such image.
    volume = noisy_volume(dtype="float32")
    volume.array[1, 2, 3] = np.nan
    begin = header(volume, voxel_type=volume_pb.VOXEL_TYPE_FLOAT32)
    error = refused(channel, begin, chunk(volume.array.tobytes()))
    assert isinstance(error, errors.VolumeError)
    assert "1 voxels that are NaN" in error.message


def test_a_two_dimensional_image(client: sixpoint.Client) -> None:
    with pytest.raises(errors.VolumeError, match="at least two voxels along each axis"):
        client.upload(noisy_volume((40, 36, 1)))
