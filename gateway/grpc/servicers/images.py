"""``sixpoint.v1.ImageService``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

import grpc.aio

from gateway.core.images import ImageHeader, ImageRecord, ImageStore
from gateway.grpc.owners import owner_of
from sixpoint.errors import UploadError, VolumeError
from sixpoint.protocol import geometry_from_message, geometry_to_message
from sixpoint.v1 import image_service_pb2 as image_pb
from sixpoint.v1 import image_service_pb2_grpc as image_grpc
from sixpoint.v1 import volume_pb2 as volume_pb

__all__ = ["ImageServicer"]

_Context = grpc.aio.ServicerContext[Any, Any]


class ImageServicer(image_grpc.ImageServiceServicer):
    """``sixpoint.v1.ImageService``."""

    def __init__(self, images: ImageStore) -> None:
        self._images = images

    async def UploadImage(
        self, request_iterator: AsyncIterator[image_pb.UploadImageRequest], context: _Context
    ) -> image_pb.UploadImageResponse:
        """Receive an image in chunks."""
        first = await anext(aiter(request_iterator), None)
        if first is None or first.WhichOneof("part") != "header":
            raise UploadError("the first message of an upload must be its header")
        async with self._images.upload(_header(first.header), offset=first.offset, owner=owner_of(context)) as upload:
            async for message in request_iterator:
                if message.WhichOneof("part") != "chunk":
                    raise UploadError("an upload has one header, as its first message, and then only chunks")
                await upload.write(message.chunk)
            return image_pb.UploadImageResponse(image=_image_message(await upload.finish()))

    async def GetImage(self, request: image_pb.GetImageRequest, context: _Context) -> image_pb.GetImageResponse:
        """Describe a stored image."""
        return image_pb.GetImageResponse(image=_image_message(await self._images.describe(request.digest)))

    async def GetUpload(self, request: image_pb.GetUploadRequest, context: _Context) -> image_pb.GetUploadResponse:
        """Return how many bytes of an image have arrived."""
        received = await self._images.received(request.digest, owner=owner_of(context))
        return image_pb.GetUploadResponse(received_byte_count=received)


def _header(message: image_pb.Image) -> ImageHeader:
    try:
        geometry = geometry_from_message(message.geometry)
    except VolumeError as error:
        raise error.under("header") from None
    return ImageHeader(
        digest=message.digest,
        geometry=geometry,
        voxel_type=message.voxel_type,
        byte_count=message.byte_count,
    )


def _image_message(record: ImageRecord) -> image_pb.Image:
    return image_pb.Image(
        digest=record.digest,
        geometry=geometry_to_message(record.geometry),
        voxel_type=cast("volume_pb.VoxelType.ValueType", record.voxel_type),
        byte_count=record.byte_count,
    )
