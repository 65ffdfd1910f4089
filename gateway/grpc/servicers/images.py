"""``sixpoint.v1.ImageService`` over the images."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

import grpc.aio

from gateway.core.images.records import ImageRecord
from gateway.core.images.store import Header, Images
from gateway.grpc.owners import owner_of
from sixpoint.errors import UploadError
from sixpoint.protocol import geometry_from_message, geometry_to_message
from sixpoint.v1 import image_service_pb2 as messages
from sixpoint.v1 import image_service_pb2_grpc as images_grpc
from sixpoint.v1 import volume_pb2 as volumes

__all__ = ["ImageServicer"]

_Context = grpc.aio.ServicerContext[Any, Any]


class ImageServicer(images_grpc.ImageServiceServicer):
    """``sixpoint.v1.ImageService``."""

    def __init__(self, images: Images) -> None:
        self._images = images

    async def UploadImage(
        self, request_iterator: AsyncIterator[messages.UploadImageRequest], context: _Context
    ) -> messages.UploadImageResponse:
        """Takes an image chunk by chunk."""
        first = await anext(aiter(request_iterator), None)
        if first is None or first.WhichOneof("part") != "header":
            raise UploadError("the first message of an upload must be its header")
        async with self._images.upload(_header(first.header), offset=first.offset, owner=owner_of(context)) as upload:
            async for message in request_iterator:
                if message.WhichOneof("part") != "chunk":
                    raise UploadError("an upload has one header, at its beginning; after it, chunks")
                await upload.write(message.chunk)
            return messages.UploadImageResponse(image=_image_message(await upload.finish()))

    async def GetImage(self, request: messages.GetImageRequest, context: _Context) -> messages.GetImageResponse:
        """Describes an image that is here."""
        return messages.GetImageResponse(image=_image_message(await self._images.describe(request.digest)))

    async def GetUpload(self, request: messages.GetUploadRequest, context: _Context) -> messages.GetUploadResponse:
        """Says how much of an image has arrived."""
        return messages.GetUploadResponse(received_byte_count=await self._images.received(request.digest))


def _header(message: messages.Image) -> Header:
    return Header(
        digest=message.digest,
        geometry=geometry_from_message(message.geometry),
        voxel_type=message.voxel_type,
        byte_count=message.byte_count,
    )


def _image_message(record: ImageRecord) -> messages.Image:
    return messages.Image(
        digest=record.digest,
        geometry=geometry_to_message(record.geometry),
        voxel_type=cast("volumes.VoxelType.ValueType", record.voxel_type),
        byte_count=record.byte_count,
    )
