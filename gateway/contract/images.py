"""The calls of ``sixpoint.v1.ImageService`` that carry no voxels, and its messages."""

from __future__ import annotations

from typing import cast

from gateway.core.access import Principal
from gateway.core.images import ImageHeader, ImageRecord, ImageStore
from sixpoint.errors import VolumeError
from sixpoint.protocol import geometry_from_message, geometry_to_message
from sixpoint.v1 import image_service_pb2 as image_pb
from sixpoint.v1 import volume_pb2 as volume_pb

__all__ = ["ImageCalls", "header_from_message", "image_to_message"]


class ImageCalls:
    """The calls of ``sixpoint.v1.ImageService`` that carry no voxels.

    Args:
        images: All images.
    """

    def __init__(self, images: ImageStore) -> None:
        self._images = images

    async def get_image(self, request: image_pb.GetImageRequest, principal: Principal) -> image_pb.GetImageResponse:
        """Describe a stored image."""
        record = await self._images.describe(request.digest, principal=principal)
        return image_pb.GetImageResponse(image=image_to_message(record))

    async def get_upload(self, request: image_pb.GetUploadRequest, principal: Principal) -> image_pb.GetUploadResponse:
        """Return how many bytes of an image have arrived."""
        received = await self._images.received(request.digest, principal=principal)
        return image_pb.GetUploadResponse(received_byte_count=received)


def header_from_message(message: image_pb.Image) -> ImageHeader:
    """Convert a message to the header of an upload.

    Raises:
        VolumeError: The message has no usable geometry.
    """
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


def image_to_message(record: ImageRecord) -> image_pb.Image:
    """Convert the record of an image to a message."""
    return image_pb.Image(
        digest=record.digest,
        geometry=geometry_to_message(record.geometry),
        voxel_type=cast("volume_pb.VoxelType.ValueType", record.voxel_type),
        byte_count=record.byte_count,
    )
