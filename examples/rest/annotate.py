#!/usr/bin/env python3
"""Outlines one object of raw voxels from six points, over sixpoint's REST API, with httpx and zstandard only.

    annotate.py URL RAW  SIZE SIZE SIZE  SPACING SPACING SPACING  MASK  X,Y,Z X,Y,Z X,Y,Z X,Y,Z X,Y,Z X,Y,Z

RAW has int16, little-endian, x fastest, then y, then z; the axes run to the left, to the back and to the head of the
patient. MASK is written likewise, one byte for each voxel. SIXPOINT_TOKEN: a token, where the gateway asks for one.
"""

import hashlib
import json
import os
import struct
import sys
from pathlib import Path

import httpx
import zstandard

INT16, CHUNK = 3, 2**20
IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
BOX = "application/vnd.sixpoint.mask"


def upload(api: httpx.Client, voxels: bytes, size: list[int], spacing: list[float]) -> str:
    """Send voxels in chunks; returns the digest of the image. What was sent before is not sent again."""
    geometry = struct.pack("<3q15d", *size, *spacing, 0.0, 0.0, 0.0, *IDENTITY)
    digest = hashlib.sha256(geometry + bytes([INT16]) + voxels).hexdigest()
    header = {
        "geometry": {"size": size, "spacing": spacing, "origin": [0, 0, 0], "direction": IDENTITY},
        "voxel_type": "VOXEL_TYPE_INT16",
    }
    begin = check(api.get(f"images/{digest}/upload")).json()["received_byte_count"]
    while begin < len(voxels):
        chunk = voxels[begin : begin + CHUNK]
        place = f"bytes {begin}-{begin + len(chunk) - 1}/{len(voxels)}"
        headers = {"Sixpoint-Image": json.dumps(header), "Content-Range": place}
        check(api.put(f"images/{digest}", content=chunk, headers=headers))
        begin += len(chunk)
    return digest


def check(answer: httpx.Response) -> httpx.Response:
    """Stop with what the gateway says if it refuses a call."""
    if answer.is_error:
        sys.exit(f"error: {answer.json()['detail']}")
    return answer


def unpack(answer: httpx.Response, size: list[int]) -> bytes:
    """Unpack a mask: a zstd frame with one bit for each voxel of a box, most significant first, x fastest."""
    x0, y0, z0, x1, y1, z1 = map(int, answer.headers["Sixpoint-Box"].split(","))
    bits = zstandard.ZstdDecompressor().decompress(answer.content)
    if hashlib.sha256(bits).hexdigest() != answer.headers["Sixpoint-SHA256"]:
        sys.exit("error: the mask arrived damaged")
    mask, number = bytearray(size[0] * size[1] * size[2]), 0
    for z in range(z0, z1):
        for y in range(y0, y1):
            for x in range(x0, x1):
                mask[(z * size[1] + y) * size[0] + x] = bits[number // 8] >> (7 - number % 8) & 1
                number += 1
    return bytes(mask)


def main() -> None:
    """Upload, prompt, save."""
    if len(sys.argv) != 16:
        sys.exit("usage: annotate.py URL RAW SIZE x 3 SPACING x 3 MASK POINT x 6")
    url, raw, mask = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[9])
    size, spacing = [int(text) for text in sys.argv[3:6]], [float(text) for text in sys.argv[6:9]]
    points = [dict(zip("xyz", map(float, text.split(",")), strict=True)) for text in sys.argv[10:]]
    token = os.environ.get("SIXPOINT_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with httpx.Client(base_url=f"{url.rstrip('/')}/api/v1/", headers=headers, timeout=120) as api:
        digest = upload(api, raw.read_bytes(), size, spacing)
        session = check(api.post("sessions", json={"image_digest": digest, "model": "annotation"})).json()["id"]
        prompts = [{"extreme_points": {"frame": "FRAME_VOXEL", "points": points}}]
        # The id makes it safe to send the call again if its answer is lost.
        answer = check(
            api.post(
                f"sessions/{session}/segments/1/prompts",
                json={"prompts": prompts, "request_id": "six points"},
                headers={"Accept": BOX},
            )
        )
        mask.write_bytes(unpack(answer, size))
        print(f"{answer.headers['Sixpoint-Voxel-Count']} voxels by {answer.headers['Sixpoint-Model']}")  # noqa: T201
        check(api.delete(f"sessions/{session}"))


if __name__ == "__main__":
    try:
        main()
    except httpx.TransportError as error:
        sys.exit(f"error: no answer from {sys.argv[1]}: {error}")
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
