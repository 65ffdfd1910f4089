"""Images as ITK-SNAP sends them: float32 voxels, compressed, and their geometry in JSON."""

from __future__ import annotations

import asyncio
import math
import zlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from gateway.core.access import Principal
from gateway.core.images import ImageHeader, ImageRecord, ImageStore
from gateway.core.images.disk_cache import begin_digest
from gateway.core.runtime.process.disk_errors import disk_errors
from gateway.http.forms import Form, FormFile, parse_object
from gateway.http.requests.spool import SpoolFolder
from sixpoint._typing import Array, Ints, Size
from sixpoint.errors import ResourceExhausted, UploadError, VolumeError
from sixpoint.geometry import Geometry
from sixpoint.prompts.voxel_runs import check_voxel_count
from sixpoint.volume import voxel_type_number

__all__ = ["SentImages", "read_geometry", "read_voxels", "unpacked"]

_READ_BYTES, _PIECE_BYTES = 2**20, 2**23
_PIECE_VOXELS = 2**21
# gzip's format.
_WINDOW_BITS = 31
_SENT, _WHOLE = np.dtype("<f4"), np.dtype("<i2")
_AXES = 3


def read_geometry(form: Form) -> Geometry:
    """Read the geometry of the voxels in a form.

    Raises:
        VolumeError: They are no volume with one number per voxel, or what places them is missing.
    """
    content = parse_object(form.fields.get("metadata", ""), what="the field metadata")
    if content.get("components_per_pixel") != 1:
        raise VolumeError(
            "the image has several numbers per voxel, or does not say how many; expected one (grey values)"
        )
    if content.get("component_type", "float32") != "float32":
        raise VolumeError("the voxels are of another type than float32, which ITK-SNAP sends")
    size = _numbers(content, "dimensions")
    if len(size) != _AXES or not all(isinstance(number, int) for number in size):
        raise VolumeError(f"metadata.dimensions has {len(size)} numbers; expected the voxels along x, y and z")
    x, y, z = (int(number) for number in size)
    places = {name: _places(content, name) for name in ("spacing", "origin", "direction")}
    return Geometry(size=(x, y, z), **places)  # type: ignore[arg-type]  # checked there


def _numbers(content: dict[str, object], name: str) -> list[int | float]:
    values = content.get(name)
    if not isinstance(values, list):
        raise VolumeError(f"metadata.{name} is missing, and no value is assumed: ITK-SNAP sends what places the image")
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        raise VolumeError(f"metadata.{name} has something else than numbers")
    return values


def _places(content: dict[str, object], name: str) -> tuple[float, ...]:
    try:
        return tuple(map(float, _numbers(content, name)))
    except OverflowError:
        # JSON has whole numbers of any length.
        raise VolumeError(f"metadata.{name} has a number that is too large") from None


async def unpacked(file: FormFile, nbytes: int) -> AsyncIterator[bytes]:
    """Decompress a file, piece by piece.

    Args:
        file: The file, as gzip.
        nbytes: Bytes that it must have.

    Raises:
        UploadError: It has another number of bytes, or is damaged.
    """
    unpacker, received = zlib.decompressobj(_WINDOW_BITS), 0
    with disk_errors(), file.path.open("rb") as source:
        while not unpacker.eof:
            piece = await asyncio.to_thread(_next, unpacker, source)
            received += len(piece)
            if received > nbytes:
                raise UploadError(f"the file has more voxels than metadata.dimensions says ({nbytes} bytes)")
            if piece:
                yield piece
            elif not unpacker.eof:
                raise UploadError("the file ended early: its gzip stream is not complete; send it again")
        if unpacker.unused_data or source.read(1):
            raise UploadError("the file goes on behind the end of its gzip stream")
    if received < nbytes:
        raise UploadError(f"the file has {received} bytes of voxels; metadata.dimensions makes {nbytes}")


def _next(unpacker: zlib._Decompress, source: BinaryIO) -> bytes:
    try:
        while True:
            data = unpacker.unconsumed_tail or source.read(_READ_BYTES)
            piece = unpacker.decompress(data, _PIECE_BYTES)
            if piece or unpacker.eof or not data:
                return piece
    except zlib.error:
        raise UploadError("the file is damaged: it is no gzip stream") from None


async def read_voxels(form: Form, size: Size, *, what: str) -> Ints:
    """Read what was drawn: an image of the size of the one that is shown, whose voxels are more than 0 there.

    Args:
        form: The form that it came in.
        size: Voxels of the image along (x, y, z).
        what: Name of the prompt, for the error.

    Returns:
        The voxels (x, y, z), shape [n, 3].

    Raises:
        PromptError: Nothing is drawn, or too much.
        VolumeError: It is of another size.
        UploadError: Its file is missing or damaged.
    """
    drawn = read_geometry(form)
    if drawn.size != size:
        raise VolumeError(f"the {what} is of size {drawn.size}, and the image of {size}; send the image again")
    file = _voxel_file(form)
    found, count, place, rest = list[npt.NDArray[np.int64]](), 0, 0, b""
    async for piece in unpacked(file, math.prod(size) * _SENT.itemsize):
        content = rest + piece
        whole = len(content) - len(content) % _SENT.itemsize
        rest = content[whole:]
        indices = await asyncio.to_thread(_drawn, content[:whole], place)
        place += whole // _SENT.itemsize
        count += len(indices)
        check_voxel_count(max(count, 1), what=what)
        if len(indices):
            found.append(indices)
    check_voxel_count(count, what=what)
    z, y, x = np.unravel_index(np.concatenate(found), size[::-1])
    return np.stack([x, y, z], axis=1).astype(np.int32)


def _drawn(content: bytes, first: int) -> npt.NDArray[np.int64]:
    with np.errstate(invalid="ignore"):
        return (np.flatnonzero(np.frombuffer(content, _SENT) > 0) + first).astype(np.int64)


def _voxel_file(form: Form) -> FormFile:
    file = form.file("file")
    if file is None:
        raise UploadError("the form has no file; expected the voxels in its field file")
    return file


class SentImages:
    """Stores images that ITK-SNAP sends.

    Args:
        images: All images.
        max_bytes: Largest image, in bytes of voxels.
    """

    def __init__(self, images: ImageStore, *, max_bytes: int) -> None:
        self._images = images
        self._max_bytes = max_bytes

    @property
    def max_body_bytes(self) -> int:
        """Largest body that may hold an image: whole numbers arrive as float32, in a form."""
        return 2 * self._max_bytes + 2**20

    async def store(self, form: Form, folder: SpoolFolder, *, principal: Principal) -> ImageRecord:
        """Store an image.

        Args:
            form: The form that it came in.
            folder: Folder of the call's files.
            principal: Who uploads it.

        Raises:
            VolumeError: It is no usable image.
            UploadError: Its file is missing or damaged.
            ResourceExhausted: The image is too large.
            StorageFull: The quota of the disk, or of the owner, is spent.
        """
        geometry = read_geometry(form)
        file = _voxel_file(form)
        nbytes = math.prod(geometry.size) * _SENT.itemsize
        if nbytes > 2 * self._max_bytes:
            raise ResourceExhausted(
                f"the image of {geometry.size_text} voxels is too large for this gateway (SIXPOINT_MAX_IMAGE_BYTES)"
            )
        folder.reserve(nbytes)
        path = folder.path / "sent"
        with disk_errors(), path.open("wb") as target:
            async for piece in unpacked(file, nbytes):
                await asyncio.to_thread(target.write, piece)
        header, path = await asyncio.to_thread(_describe, path, geometry, folder)
        async with self._images.upload(header, principal=principal) as upload:
            with disk_errors(), path.open("rb") as content:
                while chunk := await asyncio.to_thread(content.read, _READ_BYTES):
                    await upload.write(chunk)
                return await upload.finish()


def _describe(path: Path, geometry: Geometry, folder: SpoolFolder) -> tuple[ImageHeader, Path]:
    """The header of an image, and the file with its voxels as they are stored; a piece at a time is in memory."""
    dtype: np.dtype[Any] = _SENT
    if _is_whole(path):
        # The same image then has the same name, and half the size, as one that other clients send as whole numbers.
        narrow = folder.path / "whole"
        with narrow.open("wb") as target:
            for piece in _pieces(path, _SENT):
                piece.astype(_WHOLE).tofile(target)
        path, dtype = narrow, _WHOLE
    number = voxel_type_number(dtype)
    digest = begin_digest(geometry, number)
    for piece in _pieces(path, dtype):
        digest.update(piece.data)
    return ImageHeader(digest.hexdigest(), geometry, number, path.stat().st_size), path


def _is_whole(path: Path) -> bool:
    """Whether all voxels of a file are whole numbers that fit into int16."""
    limits = np.iinfo(_WHOLE)
    with np.errstate(invalid="ignore"):
        return all(
            piece.min() >= limits.min and piece.max() <= limits.max and np.array_equal(piece, np.rint(piece))
            for piece in _pieces(path, _SENT)
        )


def _pieces(path: Path, dtype: np.dtype[Any]) -> Iterator[Array]:
    """The voxels of a file. They are not mapped: all of them would count as the gateway's memory."""
    with path.open("rb") as file:
        while len(piece := np.fromfile(file, dtype, _PIECE_VOXELS)):
            yield piece
