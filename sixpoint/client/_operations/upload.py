"""The upload of an image: only if the gateway does not have it, and continued where an earlier upload ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import cast

import numpy as np

from sixpoint.client._retry import Attempts, Retry, Timeout
from sixpoint.client._sansio import Call, ClientStreamingCall, Operation, Pause, Work
from sixpoint.client._transport.channel import Stubs
from sixpoint.errors import ImageNotFound, SixpointError, UploadError
from sixpoint.protocol import geometry_to_message
from sixpoint.v1 import image_service_pb2 as image_pb
from sixpoint.v1 import volume_pb2 as volume_pb
from sixpoint.volume import Volume, check_voxels, voxel_type_number

__all__ = ["ProgressCallback", "upload", "upload_messages"]

ProgressCallback = Callable[[int, int], None]
"""Called during an upload with the bytes sent so far and the bytes in all.

:class:`~sixpoint.client.Client` calls it in a thread of gRPC's, and sends on once it returns;
:class:`~sixpoint.client.AsyncClient` calls it on the event loop. An exception that it raises ends the upload and
reaches the caller; the bytes that have arrived stay, and another upload continues behind them."""

# Measured as fastest with Python's gRPC: smaller chunks cost calls, larger ones copies.
_CHUNK_BYTES = 2**20


def upload(
    stubs: Stubs, volume: Volume, *, timeout: Timeout, retry: Retry, progress: ProgressCallback | None
) -> Operation[str]:
    """Upload an image unless the gateway has it, and return its digest.

    Args:
        stubs: RPC methods of the gateway.
        volume: Image to upload.
        timeout: Seconds to wait for calls and for the upload.
        retry: Policy for repeated attempts.
        progress: Called with the bytes sent so far and the bytes in all.

    Raises:
        VolumeError: Voxels are NaN or infinite.
    """
    digest = yield from Work(lambda: _checked_digest(volume))
    try:
        yield from Call(stubs.images.GetImage, image_pb.GetImageRequest(digest=digest), timeout.call)
    except ImageNotFound:
        pass
    else:
        return digest
    attempts = Attempts(retry, timeout=timeout.upload, now=time.monotonic())
    raised: list[BaseException] = []
    while True:
        status = yield from Call(stubs.images.GetUpload, image_pb.GetUploadRequest(digest=digest), timeout.call)
        offset = status.received_byte_count

        def requests(offset: int = offset) -> Iterator[image_pb.UploadImageRequest]:
            return _until_error(upload_messages(volume, digest, offset=offset, progress=progress), raised)

        error: SixpointError | None = None
        try:
            yield from ClientStreamingCall(stubs.images.UploadImage, requests, attempts.remaining(time.monotonic()))
        except SixpointError as failure:
            error = failure
        if raised:
            raise raised[0]
        if error is None:
            return digest
        # If another client uploaded the same image meanwhile, the gateway refuses the offset: ask for the new one.
        offset_changed = isinstance(error, UploadError) and offset > 0
        pause = attempts.pause(error, now=time.monotonic(), force=offset_changed)
        if pause is None:
            raise error
        yield from Pause(pause)


def upload_messages(
    volume: Volume, digest: str, *, offset: int = 0, progress: ProgressCallback | None
) -> Iterator[image_pb.UploadImageRequest]:
    """Yield the messages of an upload: the header, then the voxels in chunks of 1 MiB.

    Args:
        volume: Image to send.
        digest: SHA-256 of the image, as :attr:`Volume.digest` computes it.
        offset: Number of bytes that the gateway already has.
        progress: Called with the bytes sent so far and the bytes in all.
    """
    data = volume.array.reshape(-1).view(np.uint8)
    yield image_pb.UploadImageRequest(
        header=image_pb.Image(
            digest=digest,
            geometry=geometry_to_message(volume.geometry),
            voxel_type=cast("volume_pb.VoxelType.ValueType", voxel_type_number(volume.array.dtype)),
            byte_count=len(data),
        ),
        offset=offset,
    )
    if progress and offset:
        progress(offset, len(data))
    for start in range(offset, len(data), _CHUNK_BYTES):
        yield image_pb.UploadImageRequest(chunk=data[start : start + _CHUNK_BYTES].tobytes())
        if progress:
            progress(min(start + _CHUNK_BYTES, len(data)), len(data))


def _checked_digest(volume: Volume) -> str:
    """The digest of an image that the gateway will take; it would refuse NaN only after the upload."""
    check_voxels(volume.array)
    return volume.digest


def _until_error(
    messages: Iterator[image_pb.UploadImageRequest], raised: list[BaseException]
) -> Iterator[image_pb.UploadImageRequest]:
    """Yield messages until ``progress`` raises, and append its exception to ``raised``: gRPC would swallow it."""
    while True:
        try:
            message = next(messages)
        except StopIteration:
            return
        except BaseException as error:
            raised.append(error)
            return
        yield message
