"""Read what clients send: JSON, arrays, and the header beside them."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from io import BufferedWriter
from pathlib import Path
from typing import TypeVar

import numpy as np

from gateway.core.runtime import Admission
from gateway.core.runtime.process.disk_errors import disk_errors
from gateway.http.calls import Call
from gateway.http.decoding.packed import mask_of, read_header, unpack_array
from gateway.http.decoding.processes import run_decoder
from gateway.http.errors import HttpRefusal
from gateway.http.forms import parse_object
from gateway.http.requests.spool import SpoolFolder
from sixpoint._typing import Bools, Index
from sixpoint.errors import InvalidArgument, UploadError, VolumeError
from sixpoint.mask import cropped

__all__ = ["drop_body", "read_array", "read_mask", "read_meta", "read_spacing", "reserve_unpacking"]

_Made = TypeVar("_Made")

_WRITE_BYTES = 2**20
# Headers in an array that compression does not make smaller, and of the file that it is unpacked from.
_SLACK = 2**20
# Larger arrays are unpacked in a process of their own, which does not keep the event loop from its other work.
_MAX_IN_THREAD = 4 * 2**20
_PROGRAM = "gateway.http.decoding.arrays"


def read_meta(call: Call) -> dict[str, object]:
    """Read the header beside an array; a missing one is an empty object.

    Raises:
        InvalidArgument: It is no JSON object.
    """
    return parse_object(call.request.headers.get("x-meta", ""), what="the header X-Meta")


def read_spacing(meta: dict[str, object]) -> tuple[float, float, float] | None:
    """Read the spacing of an image's array, mm along its axes; None if the client does not know it.

    Raises:
        VolumeError: It is no spacing.
    """
    properties = meta.get("image_properties") or {}
    if not isinstance(properties, dict):
        raise InvalidArgument("image_properties is no object; expected one with the image's spacing")
    value = properties.get("spacing")
    if value is None:
        return None
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 3:
        raise _no_spacing()
    if not all(isinstance(each, int | float) and not isinstance(each, bool) for each in value):
        raise _no_spacing()
    try:
        first, second, third = map(float, value)
    except OverflowError:
        raise _no_spacing() from None
    if not all(math.isfinite(each) and each > 0 for each in (first, second, third)):
        raise _no_spacing()
    return first, second, third


async def read_array(call: Call, folder: SpoolFolder, *, max_bytes: int) -> Path:
    """Write the body of a call to a file.

    Args:
        call: The call.
        folder: Where the file is put.
        max_bytes: Largest body.

    Raises:
        HttpRefusal: The body is too large, or does not come.
        ResourceExhausted: There is no room for it.
    """
    path = folder.path / "array"
    length = call.request.headers.get("content-length", "")
    if length.isdecimal() and int(length[:20]) > max_bytes:
        raise _too_large(max_bytes)
    with disk_errors():
        file = path.open("wb")
    received, waiting = 0, bytearray()
    try:
        async for chunk in call.chunks():
            received += len(chunk)
            if received > max_bytes:
                raise _too_large(max_bytes)
            waiting += chunk
            if len(waiting) >= _WRITE_BYTES:
                await _write(file, waiting, folder)
                waiting = bytearray()
        await _write(file, waiting, folder)
    finally:
        with disk_errors():
            file.close()
    return path


def reserve_unpacking(path: Path, folder: SpoolFolder) -> None:
    """Count the file that unpacking an array writes beside it: no larger than the array as it came.

    Raises:
        ResourceExhausted: There is no room for it.
    """
    folder.reserve(path.stat().st_size + _SLACK)


async def drop_body(call: Call, *, max_bytes: int) -> None:
    """Read a body that is not wanted: a client that still sends it would not see the answer."""
    received = 0
    async for chunk in call.chunks():
        received += len(chunk)
        if received > max_bytes:
            return


async def read_mask(
    path: Path,
    folder: SpoolFolder,
    make: Callable[[Bools, Index], _Made],
    *,
    shape: Index,
    memory: Admission,
) -> _Made:
    """Read a mask, and make something of it.

    Args:
        path: File with the packed array, [z, y, x].
        folder: Folder of the call's files.
        make: Function of the box of the mask outside which it is 0, and of the index (x, y, z) of its first voxel,
            which runs on a thread; the box is empty if the mask is.
        shape: Shape that the mask must have.
        memory: Memory of prompts.

    Raises:
        UploadError: It is no mask, or of another shape.
    """
    voxels = math.prod(shape)
    with path.open("rb") as file:
        start = file.read(2**10)
    header = read_header(memoryview(start), axes=3, max_bytes=8 * voxels)
    if path.stat().st_size > header.nbytes + _SLACK:
        raise UploadError(f"the body has {path.stat().st_size} bytes; the array in it would take {header.nbytes}")
    if header.shape != shape:
        raise UploadError(f"the mask has the shape {list(header.shape)}; expected {list(shape)}")
    async with memory.slot():
        if header.nbytes <= _MAX_IN_THREAD:
            async with memory.memory(2 * header.nbytes):
                return await asyncio.to_thread(lambda: make(*_unpacked(path)))
        reserve_unpacking(path, folder)
        folder.reserve(voxels)
        target = folder.path / "mask"
        try:
            answer = await run_decoder(_PROGRAM, ["mask", str(path), str(target), str(voxels)], folder=folder.path)
        except VolumeError as error:
            # Its words are of files with images.
            raise UploadError(error.message.replace("the image", "the mask")) from None
        box: Index = tuple(answer["box"])
        lower: Index = tuple(answer["lower"])
        async with memory.memory(2 * math.prod(box)):
            return await asyncio.to_thread(lambda: make(np.fromfile(target, np.uint8).reshape(box) != 0, lower))


def _unpacked(path: Path) -> tuple[Bools, Index]:
    body = memoryview(path.read_bytes())
    header = read_header(body, axes=3, max_bytes=_MAX_IN_THREAD)
    return cropped(mask_of(unpack_array(body, header)))


async def _write(file: BufferedWriter, data: bytearray, folder: SpoolFolder) -> None:
    folder.reserve(len(data))
    with disk_errors():
        await asyncio.to_thread(file.write, data)


def _too_large(limit: int) -> HttpRefusal:
    return HttpRefusal(413, InvalidArgument(f"the body is too large: expected at most {limit} bytes"))


def _no_spacing() -> VolumeError:
    return VolumeError(
        "image_properties.spacing is no spacing; expected three positive numbers, in mm, one for each axis"
    )
