"""Arrays as nnInteractive's clients pack them: a header, and chunks that blosc2 compressed.

Whatever a header says is checked before anything is allocated or decompressed; blosc2 gets only chunks of the few kinds
that clients write.
"""

from __future__ import annotations

import contextlib
import math
import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sixpoint._typing import Array, Bools
from sixpoint.errors import UploadError

__all__ = ["PackedHeader", "mask_of", "pack_array", "read_header", "unpack_array", "unpack_file"]

_MAGIC, _VERSION = b"NNIA", 1
_ZSTD, _LZ4 = 1, 2
_TYPES = {
    "bool": np.dtype(np.bool_),
    **{f"{sign}int{bits}": np.dtype(f"<{sign or 'i'}{bits // 8}") for sign in ("", "u") for bits in (8, 16, 32, 64)},
    **{f"float{bits}": np.dtype(f"<f{bits // 8}") for bits in (16, 32, 64)},
}
_MAX_AXES = 4
_FIXED, _CHUNK = struct.Struct("<4sBBBB"), struct.Struct("<QQ")
_MAX_CHUNK = 2**30
# So much of a large chunk is unpacked at a time.
_PIECE = 2**22

# The header of a blosc2 chunk: https://www.blosc.org/c-blosc2/format/chunk_format.html
_BLOSC = struct.Struct("<BBBBiii6sBB6sBB")
_FORMAT, _EXTENDED, _UNKNOWN_FLAGS = 5, 0b101, 0b1000
_STORED, _CODECS = 0b10, (1, 4)
_FILTERS = frozenset((0, 1))
_REPEATED, _SPECIAL = (0, 1, 3), 0b111
# Level and filter that nnInteractive's own server uses for masks.
_LEVEL = 3


@dataclass(frozen=True)
class PackedHeader:
    """What an array says about itself.

    Attributes:
        dtype: Type of its elements.
        shape: Its shape.
        offset: Place of the first chunk in the body.
        chunks: Number of its chunks.
    """

    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]
    offset: int
    chunks: int

    @property
    def nbytes(self) -> int:
        """Bytes of the array."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_header(body: memoryview, *, axes: int, max_bytes: int) -> PackedHeader:
    """Read what an array says about itself.

    Args:
        body: The packed array, or its first part.
        axes: Number of axes that it must have.
        max_bytes: Largest array, in bytes.

    Raises:
        UploadError: It is no packed array, or none that is taken here.
    """
    try:
        magic, version, codec, ndim, length = _FIXED.unpack_from(body)
        if magic != _MAGIC or version != _VERSION or codec not in (_ZSTD, _LZ4):
            raise UploadError("the body is no packed array of nnInteractive's protocol, version 1")
        name = bytes(body[_FIXED.size : _FIXED.size + length]).decode("ascii", "replace")
        if ndim != axes or not ndim <= _MAX_AXES:
            raise UploadError(f"the array has {ndim} axes; expected {axes}")
        if name not in _TYPES:
            raise UploadError(f"the array's type is not one that is taken here; expected one of {', '.join(_TYPES)}")
        offset = _FIXED.size + length
        shape = struct.unpack_from(f"<{ndim}q", body, offset)
        (chunks,) = struct.unpack_from("<I", body, offset + 8 * ndim)
    except struct.error:
        raise _truncated() from None
    if min(shape) < 1:
        raise UploadError(f"the array's shape is {list(shape)}; expected at least one element along each axis")
    header = PackedHeader(_TYPES[name], shape, offset + 8 * ndim + 4, chunks)
    if header.nbytes > max_bytes:
        raise UploadError(f"the array would take {header.nbytes} bytes; expected at most {max_bytes}")
    return header


def unpack_array(body: memoryview, header: PackedHeader) -> Array:
    """Unpack an array. Memory for it must have been reserved.

    Args:
        body: The whole packed array.
        header: What it says about itself.

    Raises:
        UploadError: It is damaged.
    """
    # Late: it takes a tenth of a second, and few gateways are asked for it.
    import blosc2

    # Not empty memory: a damaged chunk that leaves a part of it unwritten must not show what was there before.
    result = np.zeros(header.shape, header.dtype)
    flat, done = result.reshape(-1).view(np.uint8), 0
    for _, chunk, nbytes in _chunks(body, header):
        if done + nbytes > flat.size:
            raise UploadError("the array has more elements than its shape says; send it again")
        try:
            blosc2.decompress2(chunk, dst=flat[done : done + nbytes], nthreads=1)
        except (RuntimeError, ValueError, MemoryError):
            raise UploadError("the array is damaged: a chunk cannot be decompressed; send it again") from None
        done += nbytes
    if done != flat.size:
        raise UploadError("the array has fewer elements than its shape says; send it again")
    # Bytes that are neither 0 nor 1 are no truth values that NumPy knows.
    return flat.reshape(result.shape) != 0 if result.dtype == np.bool_ else result


def unpack_file(source: Path, *, axes: int, max_bytes: int) -> Array:
    """Unpack an array of a file, so that no more is in memory than the array: chunks are as large as most images.

    blosc2 unpacks a whole chunk from memory, and parts of one from a file of its own: there it is put first, in the
    folder of the file.

    Args:
        source: File with the packed array.
        axes: Number of axes that it must have.
        max_bytes: Largest array, in bytes.

    Raises:
        UploadError: It is no packed array, or damaged.
    """
    if not source.stat().st_size:
        raise UploadError("the body is empty; expected a packed array")
    with _mapped(source) as body:
        header = read_header(body, axes=axes, max_bytes=max_bytes)
        parts = [_Part(place, len(chunk), nbytes, chunk[3]) for place, chunk, nbytes in _chunks(body, header)]
    if sum(part.nbytes for part in parts) != header.nbytes:
        raise UploadError("the array has another number of elements than its shape says; send it again")
    result = np.zeros(header.shape, header.dtype)
    flat, done = result.reshape(-1).view(np.uint8), 0
    for part in parts:
        _unpack_part(source, part, flat[done : done + part.nbytes])
        done += part.nbytes
    return flat.reshape(result.shape) != 0 if result.dtype == np.bool_ else result


@dataclass(frozen=True)
class _Part:
    """A chunk: its place in the file, and its bytes, packed and not, of elements of a size."""

    place: int
    length: int
    nbytes: int
    typesize: int


def _unpack_part(source: Path, part: _Part, target: Array) -> None:
    import blosc2

    frame = source.with_suffix(".frame")
    try:
        # A frame reads elements; what has half ones is unpacked at once.
        if part.nbytes <= _PIECE or part.nbytes % part.typesize:
            with _mapped(source) as body:
                blosc2.decompress2(body[part.place : part.place + part.length], dst=target, nthreads=1)
            return
        packed = blosc2.SChunk(
            chunksize=part.nbytes,
            contiguous=True,
            urlpath=str(frame),
            mode="w",
            cparams={"typesize": part.typesize, "nthreads": 1},
            dparams={"nthreads": 1},
        )
        with _mapped(source) as body:
            packed.insert_chunk(0, body[part.place : part.place + part.length])
        count, step = part.nbytes // part.typesize, max(1, _PIECE // part.typesize)
        for start in range(0, count, step):
            stop = min(count, start + step)
            packed.get_slice(start, stop, target[start * part.typesize : stop * part.typesize])
    except (RuntimeError, ValueError, IndexError, MemoryError):
        raise UploadError("the array is damaged: a chunk cannot be decompressed; send it again") from None
    finally:
        frame.unlink(missing_ok=True)


@contextlib.contextmanager
def _mapped(source: Path) -> Iterator[memoryview]:
    """The bytes of a file, which take no memory afterwards."""
    with source.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        body = memoryview(mapped)
        try:
            yield body
        finally:
            # Where an error's traceback refers to parts of it, it ends with that.
            with contextlib.suppress(BufferError):
                body.release()
                mapped.close()


def _chunks(body: memoryview, header: PackedHeader) -> Iterator[tuple[int, memoryview, int]]:
    """Place of each chunk, the chunk, checked, and its bytes once it is decompressed."""
    offset = header.offset
    for _ in range(header.chunks):
        try:
            nbytes, length = _CHUNK.unpack_from(body, offset)
        except struct.error:
            raise _truncated() from None
        offset += _CHUNK.size
        if length > len(body) - offset:
            raise _truncated()
        chunk = body[offset : offset + length]
        _check_chunk(chunk, nbytes, itemsize=header.dtype.itemsize)
        yield offset, chunk, nbytes
        offset += length


def _check_chunk(chunk: memoryview, nbytes: int, *, itemsize: int) -> None:
    """Refuse what blosc2 need not see: other codecs, filters and dictionaries, and sizes that contradict."""
    try:
        version, _, flags, typesize, size, block, length, filters, codec, _, _, _, more = _BLOSC.unpack_from(chunk)
    except struct.error:
        raise _truncated() from None
    stored = bool(flags & _STORED)
    usual = (
        version == _FORMAT
        and flags & _EXTENDED == _EXTENDED
        and not flags & _UNKNOWN_FLAGS
        and (stored or more >> 4 or flags >> 5 in _CODECS)
        and codec in (0, 1, 5)
        and _FILTERS.issuperset(filters)
        and not more & 0b10001111
        and more >> 4 & _SPECIAL in _REPEATED
        and typesize >= 1
    )
    fits = 0 < nbytes <= _MAX_CHUNK and nbytes % itemsize == 0 and size == nbytes and length == len(chunk)
    if not usual or not fits or not 0 < block <= size:
        raise UploadError("the array is damaged: a chunk is none that nnInteractive's client writes; send it again")


def mask_of(array: Array) -> Bools:
    """The voxels of an array of whole numbers or truth values that are not 0.

    Raises:
        UploadError: It has fractions.
    """
    if array.dtype.kind not in "biu":
        raise UploadError(f"the mask has numbers of the type {array.dtype}; expected whole numbers, or truth values")
    return array != 0


def pack_array(array: Array | Bools) -> bytes:
    """Pack an array.

    Args:
        array: Array of one of the types that are taken here.
    """
    import blosc2

    array = np.ascontiguousarray(array)
    name = array.dtype.name.encode()
    header = _FIXED.pack(_MAGIC, _VERSION, _ZSTD, array.ndim, len(name)) + name
    header += struct.pack(f"<{array.ndim}q", *array.shape)
    content = array.reshape(-1).view(np.uint8).data
    # A multiple of each itemsize: blosc2 cannot read every chunk whose length is no multiple of its typesize.
    places = range(0, len(content), _MAX_CHUNK)
    parts = [header, struct.pack("<I", len(places))]
    for start in places:
        piece = content[start : start + _MAX_CHUNK]
        chunk = blosc2.compress2(
            piece,
            typesize=array.itemsize,
            codec=blosc2.Codec.ZSTD,
            clevel=_LEVEL,
            filters=[blosc2.Filter.NOFILTER],
            nthreads=1,
        )
        parts += [_CHUNK.pack(len(piece), len(chunk)), chunk]
    return b"".join(parts)


def _truncated() -> UploadError:
    return UploadError("the array ended early; send it again")
