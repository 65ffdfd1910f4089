"""Uploads over real gRPC: cut short, continued, by another gateway process, and whose they are."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import grpc
import numpy as np
import pytest

from sixpoint import errors
from sixpoint.protocol import OWNER_KEY, error_from_rpc, geometry_to_message, owner_to_metadata
from sixpoint.v1 import image_service_pb2 as image_pb
from sixpoint.v1 import image_service_pb2_grpc as image_grpc
from sixpoint.v1 import volume_pb2 as volume_pb
from sixpoint.volume import Volume, voxel_type_number
from tests.gateway.process import GatewayProcess
from tests.support.images import noisy_volume
from tests.support.ports import free_port
from tests.support.servers import running_gateway

CHUNK = 2**18
NOWHERE = f"127.0.0.1:{free_port()}"
"""No Triton is needed to upload."""


@pytest.fixture(scope="module")
def stub() -> Iterator[image_grpc.ImageServiceStub]:
    with (
        running_gateway(ready=False, triton_url=NOWHERE, owner_image_bytes=600_000) as gateway,
        grpc.insecure_channel(f"127.0.0.1:{gateway.port}") as channel,
    ):
        yield image_grpc.ImageServiceStub(channel)


def upload(volume: Volume, *, offset: int = 0, until: int | None = None) -> Iterator[image_pb.UploadImageRequest]:
    image = image_pb.Image(
        digest=volume.digest,
        geometry=geometry_to_message(volume.geometry),
        voxel_type=cast("volume_pb.VoxelType.ValueType", voxel_type_number(volume.array.dtype)),
        byte_count=volume.array.nbytes,
    )
    yield image_pb.UploadImageRequest(header=image, offset=offset)
    data = volume.array.tobytes()[:until]
    for start in range(offset, len(data), CHUNK):
        yield image_pb.UploadImageRequest(chunk=data[start : start + CHUNK])


def received(stub: image_grpc.ImageServiceStub, volume: Volume) -> int:
    return stub.GetUpload(image_pb.GetUploadRequest(digest=volume.digest)).received_byte_count


def refused(call: Callable[[], object]) -> errors.SixpointError:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return error_from_rpc(caught.value)


def test_an_upload_cut_short_is_continued_from_where_it_was(stub: image_grpc.ImageServiceStub) -> None:
    volume = noisy_volume()
    assert received(stub, volume) == 0
    error = refused(lambda: stub.UploadImage(upload(volume, until=1001)))
    assert isinstance(error, errors.UploadError)
    assert "1001 of 92160" in error.message
    assert received(stub, volume) == 1001
    assert refused(lambda: stub.UploadImage(upload(volume, offset=1000))).violations[0].field == "offset"
    answer = stub.UploadImage(upload(volume, offset=1001))
    assert answer.image.digest == volume.digest
    assert received(stub, volume) == volume.array.nbytes
    # Whoever asked first, and was told that nothing is left to send.
    assert stub.UploadImage(upload(volume, offset=volume.array.nbytes)).image == answer.image


def test_a_client_that_vanishes_can_come_back(stub: image_grpc.ImageServiceStub) -> None:
    volume = noisy_volume((60, 60, 60))
    sent = threading.Event()

    def slowly() -> Iterator[image_pb.UploadImageRequest]:
        yield from upload(volume, until=CHUNK)
        sent.set()
        time.sleep(1)

    call = stub.UploadImage.future(slowly())
    sent.wait(10)
    call.cancel()
    before = received(stub, volume)
    assert before in (0, CHUNK)
    stub.UploadImage(upload(volume, offset=before))
    assert received(stub, volume) == volume.array.nbytes


def test_the_owner_that_a_call_names_has_a_quota(stub: image_grpc.ImageServiceStub) -> None:
    small, large = noisy_volume((40, 36, 30)), noisy_volume((80, 80, 42))
    stub.UploadImage(upload(small), metadata=((OWNER_KEY, "ward 7"),))
    error = refused(lambda: stub.UploadImage(upload(large), metadata=((OWNER_KEY, "ward 7"),)))
    assert isinstance(error, errors.StorageFull)
    assert error.retry_after
    stub.UploadImage(upload(large), metadata=((OWNER_KEY, "ward 8"),))
    metadata = owner_to_metadata("山田")
    stub.UploadImage(upload(noisy_volume((80, 80, 43))), metadata=metadata)
    error = refused(lambda: stub.UploadImage(upload(noisy_volume((80, 80, 44))), metadata=metadata))
    assert isinstance(error, errors.StorageFull), "in every script"


@pytest.mark.parametrize("metadata", [((OWNER_KEY, "x" * 201),), ((OWNER_KEY, "a"), (OWNER_KEY, "b"))])
def test_an_invalid_owner_is_refused(stub: image_grpc.ImageServiceStub, metadata: tuple[tuple[str, str], ...]) -> None:
    error = refused(lambda: stub.UploadImage(upload(noisy_volume()), metadata=metadata))
    assert type(error) is errors.InvalidArgument
    assert OWNER_KEY in error.message


def test_a_gateway_killed_again_and_again_in_an_upload_loses_nothing_of_it(tmp_path: Path) -> None:
    volume = noisy_volume((128, 128, 256))
    generator = random.Random(0)
    process = GatewayProcess(NOWHERE, tmp_path)
    reached = []
    for _ in range(2):
        process.start(wait=False)
        with grpc.insecure_channel(process.address) as channel:
            grpc.channel_ready_future(channel).result(30)
            stub = image_grpc.ImageServiceStub(channel)
            reached.append(received(stub, volume))

            def slowly(offset: int) -> Iterator[image_pb.UploadImageRequest]:
                for message in upload(volume, offset=offset):
                    time.sleep(0.02)
                    yield message

            call = stub.UploadImage.future(slowly(reached[-1]))
            time.sleep(0.1 + 0.2 * generator.random())
            process.kill()
            failure = call.exception()
            assert isinstance(failure, grpc.RpcError)
            assert isinstance(error_from_rpc(failure), errors.Unavailable)
    process.start(wait=False)
    try:
        with grpc.insecure_channel(process.address) as channel:
            grpc.channel_ready_future(channel).result(30)
            stub = image_grpc.ImageServiceStub(channel)
            reached.append(received(stub, volume))
            stub.UploadImage(upload(volume, offset=reached[-1]))
            assert received(stub, volume) == volume.array.nbytes
    finally:
        process.stop()
    assert reached == sorted(reached)
    assert reached[-1] > 0
    kept = (tmp_path / "blobs" / "images" / volume.digest[:2] / volume.digest).read_bytes()
    assert kept == np.ascontiguousarray(volume.array).tobytes()
