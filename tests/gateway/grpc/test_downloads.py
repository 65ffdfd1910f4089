"""Downloads over real gRPC: the same bytes, in places of their own, and not for clients that do not read."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from gateway.core.images import UnfinishedLimits
from gateway.core.runtime import Admission
from gateway.core.runtime.fairness import Places
from gateway.grpc.servicers.images import ImageServicer
from sixpoint import errors
from sixpoint.client._operations.upload import upload_messages
from sixpoint.protocol import error_from_rpc, owner_to_metadata
from sixpoint.v1 import image_service_pb2 as image_pb
from sixpoint.v1 import image_service_pb2_grpc as image_grpc
from sixpoint.volume import Volume
from tests.gateway.core.images.image_stores import open_store, upload_image
from tests.gateway.grpc.servers import serving
from tests.gateway.transfers import NotedTransfers
from tests.support.images import noisy_volume
from tests.support.ports import free_port
from tests.support.servers import running_gateway

# Of 12 MiB: more than a client takes in advance.
VOLUME = noisy_volume((256, 256, 96))
REQUEST = image_pb.DownloadImageRequest(digest=VOLUME.digest)
OWNER_DOWNLOADS = 48
ROOM = UnfinishedLimits(total=2**26, owner=2**26, idle=1000.0)


@contextmanager
def images(volume: Volume, **settings: Any) -> Iterator[image_grpc.ImageServiceStub]:
    """A gateway without Triton that has an image."""
    with (
        running_gateway(ready=False, triton_url=f"127.0.0.1:{free_port()}", **settings) as gateway,
        grpc.insecure_channel(f"127.0.0.1:{gateway.port}") as channel,
    ):
        stub = image_grpc.ImageServiceStub(channel)
        stub.UploadImage(upload_messages(volume, volume.digest, progress=None))
        yield stub


def test_a_download_has_the_bytes_of_the_upload() -> None:
    with images(VOLUME) as stub:
        header, *parts = stub.DownloadImage(REQUEST)
    assert header.header.digest == VOLUME.digest
    assert b"".join(part.chunk for part in parts) == VOLUME.array.tobytes()


def test_a_download_that_is_not_read_ends_and_says_by_which_setting() -> None:
    with images(VOLUME, upload_idle_seconds=0.3) as stub:
        download = stub.DownloadImage(REQUEST)
        next(download)
        time.sleep(1.0)
        with pytest.raises(grpc.RpcError) as caught:
            list(download)
    error = error_from_rpc(caught.value)
    assert isinstance(error, errors.DeadlineExceeded)
    assert "nothing of the download was read for 0.3 s, the limit (SIXPOINT_UPLOAD_IDLE_SECONDS)" in error.message


def test_an_owner_has_some_downloads_at_once_and_leaves_places_to_others() -> None:
    greedy, polite = owner_to_metadata("greedy"), owner_to_metadata("polite")
    with images(VOLUME) as stub:
        downloads = [stub.DownloadImage(REQUEST, metadata=greedy) for _ in range(OWNER_DOWNLOADS)]
        for download in downloads:
            next(download)
        with pytest.raises(grpc.RpcError) as caught:
            list(stub.DownloadImage(REQUEST, metadata=greedy))
        error = error_from_rpc(caught.value)
        assert isinstance(error, errors.ResourceExhausted)
        assert f"{OWNER_DOWNLOADS} of your downloads run" in error.message
        assert error.retry_after
        assert len(list(stub.DownloadImage(REQUEST, metadata=polite))) == 13
        for download in downloads:
            download.cancel()


async def test_parts_of_a_download_keep_the_pace_and_take_turns(tmp_path: Path) -> None:
    transfers = NotedTransfers()
    async with open_store(tmp_path, image=2**26, disk=2**26, cache=2**26, memory=2**26, unfinished=ROOM) as store:
        await upload_image(store, VOLUME)
        servicer = ImageServicer(
            store,
            places=Places(1, activity="uploads run"),
            memory=Admission(budget=1, max_active=1),
            transfers=transfers,
            idle_seconds=30.0,
        )
        handler = grpc.unary_stream_rpc_method_handler(
            servicer.DownloadImage,
            request_deserializer=image_pb.DownloadImageRequest.FromString,
            response_serializer=image_pb.DownloadImageResponse.SerializeToString,
        )
        async with serving({"Download": handler}) as address, grpc.aio.insecure_channel(address) as channel:
            download: Any = channel.unary_stream(
                "/sixpoint.Test/Download",
                request_serializer=image_pb.DownloadImageRequest.SerializeToString,
                response_deserializer=image_pb.DownloadImageResponse.FromString,
            )
            parts = [part async for part in download(REQUEST)]
    assert sum(len(part.chunk) for part in parts) == VOLUME.array.nbytes
    assert list(transfers.paced.values()) == list(transfers.taken.values()) == [VOLUME.array.nbytes]
