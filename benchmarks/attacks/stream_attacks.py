"""Attacks by streams and connections: floods of bytes, and many that stay open and send nothing."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator
from functools import cache

import grpc
from grpc_health.v1 import health_pb2

from benchmarks.attacks.callers import HostileCaller
from sixpoint.v1 import annotation_service_pb2 as annotation_pb
from sixpoint.v1 import image_service_pb2 as image_pb
from sixpoint.v1 import volume_pb2 as volume_pb

__all__ = [
    "flood_downloads",
    "flood_requests",
    "flood_stream",
    "flood_upload",
    "idle_connection",
    "idle_stream",
    "idle_upload",
    "idle_watch",
]

# 8 MiB, the largest message, less what surrounds the bytes: a slice of 2047 x 4096 voxels.
_LARGEST_PART = 8 * 2**20 - 4096
# Field 15, of so many bytes as a number of variable length.
_NOISE_TAG = bytes([15 << 3 | 2, *(_LARGEST_PART >> shift & 0x7F | 0x80 for shift in (0, 7, 14)), _LARGEST_PART >> 21])
_ACTIONS = 70
_CHUNKS = 2
_FOREVER = 3600.0


async def flood_stream(caller: HostileCaller) -> None:
    """Send a viewer's stream of 70 actions of 8 MiB, without waiting for answers."""

    async def actions() -> AsyncIterator[annotation_pb.InteractRequest]:
        prompt = annotation_pb.Prompt(mask=annotation_pb.MaskPatch(bits=_noise()))
        for number in range(_ACTIONS):
            request = annotation_pb.AnnotateRequest(session_id=caller.session_id, segment=number + 1, prompts=[prompt])
            yield annotation_pb.InteractRequest(id=number + 1, annotate=request)

    await caller.interact(actions())


async def flood_downloads(caller: HostileCaller) -> None:
    """Download an image of 256 MiB."""
    await caller.download(caller.images.large)


async def flood_requests(caller: HostileCaller) -> None:
    """Send single requests of 8 MiB: a short name, and a field that no message has."""
    methods = (
        "/sixpoint.v1.ImageService/GetImage",
        "/sixpoint.v1.AnnotationService/GetMask",
        "/sixpoint.v1.AnnotationService/Segment",
        "/grpc.health.v1.Health/Check",
    )
    await caller.unary(caller.channel.unary_unary(random.choice(methods)), _unknown_field())


async def flood_upload(caller: HostileCaller) -> None:
    """Upload an image of 16 MiB in messages of 8 MiB; its digest is wrong, so that it can be sent again."""

    async def parts() -> AsyncIterator[image_pb.UploadImageRequest]:
        yield image_pb.UploadImageRequest(header=_header((2047, 4096, _CHUNKS)))
        for _ in range(_CHUNKS):
            yield image_pb.UploadImageRequest(chunk=_noise())

    await caller.upload(parts())


async def idle_upload(caller: HostileCaller) -> None:
    """Announce an image of 2 GiB and send nothing."""

    async def parts() -> AsyncIterator[image_pb.UploadImageRequest]:
        yield image_pb.UploadImageRequest(header=_header((1024, 1024, 2047)))
        await asyncio.sleep(_FOREVER)

    await caller.upload(parts())


async def idle_stream(caller: HostileCaller) -> None:
    """Open a viewer's stream and send nothing."""

    async def actions() -> AsyncIterator[annotation_pb.InteractRequest]:
        await asyncio.sleep(_FOREVER)
        yield annotation_pb.InteractRequest()

    await caller.interact(actions())


async def idle_watch(caller: HostileCaller) -> None:
    """Watch the gateway's health."""
    watch = caller.channel.unary_stream(
        "/grpc.health.v1.Health/Watch",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )
    try:
        async for _ in watch(health_pb2.HealthCheckRequest()):
            pass
    except grpc.RpcError as error:
        caller.account.codes[error.code().name] += 1
        await asyncio.sleep(0.1)


async def idle_connection(caller: HostileCaller) -> None:
    """Connect and send nothing; connect again when the gateway closes it."""
    host, _, port = caller.server.rpartition(":")
    try:
        reader, writer = await asyncio.open_connection(host, int(port))
    except OSError:
        caller.account.codes["not connected"] += 1
        await asyncio.sleep(0.1)
        return
    try:
        while await reader.read(4096):
            pass
        caller.account.codes["closed"] += 1
    except OSError:
        caller.account.codes["closed"] += 1
    finally:
        writer.close()


@cache
def _noise() -> bytes:
    return os.urandom(_LARGEST_PART)


@cache
def _unknown_field() -> bytes:
    return annotation_pb.GetMaskRequest(session_id="x").SerializeToString() + _NOISE_TAG + _noise()


def _header(size: tuple[int, int, int]) -> image_pb.Image:
    x, y, z = size
    geometry = volume_pb.Geometry(size=size, spacing=(1, 1, 1), origin=(0, 0, 0), direction=(1, 0, 0, 0, 1, 0, 0, 0, 1))
    return image_pb.Image(
        digest=os.urandom(32).hex(),
        geometry=geometry,
        voxel_type=volume_pb.VOXEL_TYPE_UINT8,
        byte_count=x * y * z,
    )
