"""``sixpoint.v1.ImageService``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc.aio

from gateway.contract import ImageCalls, header_from_message, image_to_message
from gateway.core.images import ImageStore
from gateway.core.runtime import Admission
from gateway.core.runtime.fairness import Places, Transfers
from gateway.grpc.identity import principal_of
from gateway.grpc.idle import IdleGuard, IdleLimit
from gateway.grpc.messages.uploads import UploadMessage
from sixpoint.errors import DeadlineExceeded, UploadError
from sixpoint.v1 import image_service_pb2 as image_pb
from sixpoint.v1 import image_service_pb2_grpc as image_grpc

__all__ = ["ImageServicer"]

# Memory of an upload: a message of 8 MiB that arrives, and 4 MiB that are written and hashed.
_UPLOAD_BYTES = 12 * 2**20
_CHUNK_BYTES = 2**20
# An upload that sends less than this for a while stands still.
_PROGRESS_BYTES = 2**16

# A download has three copies of a chunk in memory.
_DOWNLOADS, _OWNER_DOWNLOADS = 64, 48

_Context = grpc.aio.ServicerContext[Any, Any]


class ImageServicer(image_grpc.ImageServiceServicer):
    """``sixpoint.v1.ImageService``.

    Args:
        images: All images.
        places: Places of uploads.
        memory: Memory of all uploads: those for which there is none wait, and are not read.
        transfers: Turns and pace of what is sent and received.
        idle_seconds: Seconds within which the next 64 KiB of an upload must arrive, and the next chunk of a download be
            read.
    """

    def __init__(
        self, images: ImageStore, *, places: Places, memory: Admission, transfers: Transfers, idle_seconds: float
    ) -> None:
        self._images = images
        self._calls = ImageCalls(images)
        self._places = places
        self._memory = memory
        self._transfers = transfers
        self._downloads = Places(_DOWNLOADS, owner_limit=_OWNER_DOWNLOADS, activity="downloads run", evict=False)
        self._idle = IdleLimit(
            idle_seconds,
            setting="SIXPOINT_UPLOAD_IDLE_SECONDS",
            advice="send the rest (GetUpload says from where)",
            nbytes=_PROGRESS_BYTES,
            crowded=lambda: memory.crowded or places.full,
        )

    async def UploadImage(
        self, request_iterator: AsyncIterator[UploadMessage], context: _Context
    ) -> image_pb.UploadImageResponse:
        """Receive an image in chunks."""
        # Before the first message is read: gRPC receives none that nobody waits for.
        async with self._places.take(), self._memory.memory(_UPLOAD_BYTES):
            idle = IdleGuard(self._idle)
            messages = idle.guard(request_iterator)
            first = await anext(messages, None)
            if not isinstance(first, image_pb.UploadImageRequest) or first.WhichOneof("part") != "header":
                raise UploadError("the first message of an upload must be its header")
            header, offset = header_from_message(first.header), first.offset
            async with self._images.upload(header, offset=offset, principal=principal_of(context)) as upload:
                async for message in messages:
                    chunk = message if isinstance(message, memoryview) else _chunk(message)
                    # Nothing refers to a large message while the next one is awaited.
                    del message
                    nbytes = len(chunk)
                    idle.arrived(nbytes)
                    await upload.write(chunk)
                    del chunk
                    await self._transfers.keep_pace(nbytes)
                record = await upload.finish()
        return image_pb.UploadImageResponse(image=image_to_message(record))

    async def GetImage(self, request: image_pb.GetImageRequest, context: _Context) -> image_pb.GetImageResponse:
        """Describe a stored image."""
        return await self._calls.get_image(request, principal_of(context))

    async def DownloadImage(  # type: ignore[override]  # parts are written to the context, not yielded
        self, request: image_pb.DownloadImageRequest, context: _Context
    ) -> None:
        """Return an image in chunks."""
        principal = principal_of(context)
        async with self._downloads.take():
            record = await self._images.describe(request.digest, principal=principal)
            stored = await self._images.open(request.digest, tenant=principal.tenant)
            await context.write(image_pb.DownloadImageResponse(header=image_to_message(record)))
            voxels = memoryview(stored.volume.array.reshape(-1).view("u1"))  # type: ignore[arg-type]  # a buffer
            for begin in range(0, len(voxels), _CHUNK_BYTES):
                part = voxels[begin : begin + _CHUNK_BYTES]
                await self._transfers.keep_pace(len(part))
                # On a thread: the file may not be in memory.
                chunk = await asyncio.to_thread(bytes, part)
                await self._transfers.take_turn(len(part))
                await self._write_soon(image_pb.DownloadImageResponse(chunk=chunk), context)

    async def _write_soon(self, part: image_pb.DownloadImageResponse, context: _Context) -> None:
        """Write a part of a download, unless its client does not read."""
        scope = asyncio.timeout(self._idle.seconds)
        try:
            async with scope:
                await context.write(part)
        except TimeoutError:
            if not scope.expired():
                raise
            raise DeadlineExceeded(
                f"nothing of the download was read for {self._idle.seconds:g} s, the limit ({self._idle.setting}); "
                "read it faster, or start it again"
            ) from None

    async def GetUpload(self, request: image_pb.GetUploadRequest, context: _Context) -> image_pb.GetUploadResponse:
        """Return how many bytes of an image have arrived."""
        return await self._calls.get_upload(request, principal_of(context))


def _chunk(message: image_pb.UploadImageRequest) -> bytes:
    if message.WhichOneof("part") != "chunk":
        raise UploadError("an upload has one header, as its first message, and then only chunks")
    return message.chunk
