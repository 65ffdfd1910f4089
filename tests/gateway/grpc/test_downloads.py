"""Downloads over real gRPC: the same bytes, in places of their own, and not for clients that do not read."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest

from sixpoint import errors
from sixpoint.client._operations.upload import upload_messages
from sixpoint.protocol import error_from_rpc, owner_to_metadata
from sixpoint.v1 import image_service_pb2 as image_pb
from sixpoint.v1 import image_service_pb2_grpc as image_grpc
from sixpoint.volume import Volume
from tests.support.images import noisy_volume
from tests.support.ports import free_port
from tests.support.servers import running_gateway

# Of 12 MiB: more than a client takes in advance.
VOLUME = noisy_volume((256, 256, 96))
REQUEST = image_pb.DownloadImageRequest(digest=VOLUME.digest)
OWNER_DOWNLOADS = 48


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
