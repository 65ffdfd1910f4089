"""Attacks on the HTTP port: floods of bytes in both directions, over connections of a socket's own speed."""

from __future__ import annotations

import asyncio
import json
import os
from functools import cache

from google.protobuf.json_format import MessageToDict

from benchmarks.attacks.callers import HostileCaller
from sixpoint.v1 import image_service_pb2 as image_pb
from sixpoint.v1 import volume_pb2 as volume_pb

__all__ = ["flood_http_downloads", "flood_http_uploads"]

_SIZE = (2048, 4096, 2)
_BYTES = 16 * 2**20
_PIECE_BYTES = 2**20
_READ_BYTES = 2**18


async def flood_http_uploads(caller: HostileCaller) -> None:
    """Upload an image of 16 MiB; its digest is wrong, so that it can be sent again."""
    digest = os.urandom(32).hex()
    headers = {"Sixpoint-Image": _described(), "Content-Length": str(_BYTES)}
    await _request(caller, f"PUT /api/v1/images/{digest}", headers, nbytes=_BYTES)


async def flood_http_downloads(caller: HostileCaller) -> None:
    """Download an image of 256 MiB."""
    await _request(caller, f"GET /api/v1/images/{caller.images.large}/voxels", {})


async def _request(caller: HostileCaller, line: str, headers: dict[str, str], *, nbytes: int = 0) -> None:
    """Send a request with so many bytes, read the whole answer, and note its status."""
    host, _, port = caller.http.rpartition(":")
    status = "not connected"
    try:
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            given = {"Host": caller.http, "Sixpoint-Owner": caller.owner, "Connection": "close", **headers}
            head = "".join(f"{name}: {value}\r\n" for name, value in given.items())
            writer.write(f"{line} HTTP/1.1\r\n{head}\r\n".encode())
            status = "closed"
            for _ in range(0, nbytes, _PIECE_BYTES):
                writer.write(_noise())
                await writer.drain()
                caller.account.request_bytes += _PIECE_BYTES
            status = f"HTTP {(await reader.readline()).split()[1].decode()}"
            while await reader.read(_READ_BYTES):
                pass
        finally:
            writer.close()
    except (OSError, IndexError):
        await asyncio.sleep(0.05)
    caller.account.codes[status] += 1


@cache
def _described() -> str:
    geometry = volume_pb.Geometry(
        size=_SIZE, spacing=(1, 1, 1), origin=(0, 0, 0), direction=(1, 0, 0, 0, 1, 0, 0, 0, 1)
    )
    image = image_pb.Image(geometry=geometry, voxel_type=volume_pb.VOXEL_TYPE_UINT8)
    return json.dumps(MessageToDict(image, preserving_proto_field_name=True))


@cache
def _noise() -> bytes:
    return os.urandom(_PIECE_BYTES)
