"""Answers as ITK-SNAP reads them: the whole mask as text in JSON; a sentence for each error."""

from __future__ import annotations

import asyncio
import base64
import math
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from fastapi import Response
from fastapi.responses import PlainTextResponse

from gateway.core.runtime import Admission
from gateway.http.errors import HttpRefusal, error_headers, with_frame_advice
from gateway.http.requests.spool import SpoolFolder
from gateway.http.windows.replies import FileReply
from sixpoint._typing import Index
from sixpoint.mask import PackedMask, check_box, voxels_of

__all__ = ["error_text", "mask_reply", "mask_text"]

_SLAB_VOXELS = 2**22
# Masks are mostly runs: more effort gains a few percent of the size, and takes several times as long.
_LEVEL = 1
# gzip's format.
_WINDOW_BITS = 31
_BEFORE, _AFTER = b'{"status": "success", "result": "', b'"}'


def error_text(refusal: HttpRefusal) -> Response:
    """Return the answer for an error: its sentence alone, since ITK-SNAP shows the body as it is.

    It takes an answer with the code 200 for a mask, whatever is in it, and reads past its end if there is none.
    """
    text = with_frame_advice(refusal.error.message, named=False)
    return PlainTextResponse(text, status_code=refusal.code, headers=error_headers(refusal))


async def mask_reply(mask: PackedMask, size: Index, folder: SpoolFolder, *, memory: Admission) -> Response:
    """Return the answer with a mask.

    Args:
        mask: The whole mask.
        size: Voxels of the image along (x, y, z).
        folder: Folder of the call's files.
        memory: Memory of answers.

    Raises:
        ResourceExhausted: There is no room for it now.
    """
    path = folder.path / "answer"
    box = math.prod(b - a for a, b in zip(mask.lower, mask.upper, strict=True))
    nbytes = box + box // 4 + 2 * max(_SLAB_VOXELS, size[0] * size[1])
    async with memory.slot():
        memory.check(nbytes, what="the mask")
        # A mask of noise takes a quarter of a byte for each voxel; text, a third more.
        folder.reserve(box // 3 + math.prod(size) // 500 + 4096)
        async with memory.memory(nbytes):
            await asyncio.to_thread(_write, path, mask, size)
    return FileReply(path, media_type="application/json", before=_BEFORE, after=_AFTER)


def mask_text(mask: PackedMask, size: Index) -> Iterator[bytes]:
    """Write a mask as ITK-SNAP reads it: a byte for each voxel of the image, x fastest, gzip, then base64.

    Args:
        mask: The whole mask.
        size: Voxels of the image along (x, y, z).
    """
    compressor, rest = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW_BITS), b""
    for slab in _slabs(mask, size):
        rest += compressor.compress(slab)
        whole = len(rest) - len(rest) % 3
        yield base64.b64encode(rest[:whole])
        rest = rest[whole:]
    yield base64.b64encode(rest + compressor.flush())


def _slabs(mask: PackedMask, size: Index) -> Iterator[bytes]:
    check_box(mask, size)
    voxels = voxels_of(mask).view(np.uint8)
    (x0, y0, z0), (x1, y1, z1) = mask.lower, mask.upper
    thick = max(1, _SLAB_VOXELS // (size[0] * size[1]))
    for first in range(0, size[2], thick):
        last = min(first + thick, size[2])
        slab = np.zeros((last - first, size[1], size[0]), np.uint8)
        low, high = max(first, z0), min(last, z1)
        if low < high:
            slab[low - first : high - first, y0:y1, x0:x1] = voxels[low - z0 : high - z0]
        yield slab.tobytes()


def _write(path: Path, mask: PackedMask, size: Index) -> None:
    with path.open("wb") as file:
        for piece in mask_text(mask, size):
            file.write(piece)
