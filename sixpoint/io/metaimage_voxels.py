"""The voxels of MetaImage files: beside the header or behind it, compressed, as text, or in a file for each slice."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sixpoint._typing import Array, Size
from sixpoint.errors import VolumeError
from sixpoint.errors.shortening import quoted
from sixpoint.io.decompression import inflate

__all__ = ["VOXEL_TYPES", "MetaImageData", "read_voxels"]

VOXEL_TYPES: dict[str, np.dtype[Any]] = {
    "MET_CHAR": np.dtype(np.int8),
    "MET_UCHAR": np.dtype(np.uint8),
    "MET_SHORT": np.dtype(np.int16),
    "MET_USHORT": np.dtype(np.uint16),
    "MET_INT": np.dtype(np.int32),
    "MET_UINT": np.dtype(np.uint32),
    # Of 32 bits on every machine.
    "MET_LONG": np.dtype(np.int32),
    "MET_ULONG": np.dtype(np.uint32),
    "MET_LONG_LONG": np.dtype(np.int64),
    "MET_ULONG_LONG": np.dtype(np.uint64),
    "MET_FLOAT": np.dtype(np.float32),
    "MET_DOUBLE": np.dtype(np.float64),
}
"""NumPy's types by the names of MetaImage."""

_HEADER_BYTES = 2**20
# The number behind is that of the axes of each file.
_LIST = re.compile(r"LIST(?:\s+(?P<axes>\d+)D?)?")
_PATTERN = re.compile(
    r"(?P<name>[^\s%]*%0?\d{0,2}[diu][^\s%]*)\s+(?P<first>\d{1,9})\s+(?P<last>\d{1,9})"
    r"(?:\s+(?P<step>[1-9]\d{0,8})(?:\s+(?P<axes>\d+))?)?"
)
_LAST_LINE = re.compile(rb"^[ \t]*ElementDataFile[ \t]*[=:][^\n]*(?:\n|\Z)", re.MULTILINE | re.IGNORECASE)


@dataclass(frozen=True)
class MetaImageData:
    """Where and how the voxels of a MetaImage file are stored.

    Attributes:
        name: Text of ElementDataFile: LOCAL, a file, LIST, or a pattern with a percent sign.
        size: Voxels along (x, y, z).
        dtype: Type of the stored numbers, with their byte order.
        binary: Whether they are stored as bytes; otherwise as text.
        compressed: Whether they are compressed.
        skipped: Bytes before the voxels in each file; 0 to begin behind a header, -1 for a file that ends with them.
    """

    name: str
    size: Size
    dtype: np.dtype[Any]
    binary: bool
    compressed: bool
    skipped: int


def read_voxels(data: MetaImageData, source: Path) -> Array:
    """Read the voxels [z, y, x] of a MetaImage file.

    Args:
        data: Where and how they are stored.
        source: File with the header.

    Raises:
        VolumeError: A file is missing, or holds fewer voxels than the header announces.
        OSError: A file cannot be read.
        EOFError: The compressed voxels are truncated.
        zlib.error: The compressed voxels are damaged.
    """
    paths = _files(data, source)
    count = math.prod(data.size)
    if len(paths) not in (1, data.size[2]) or (len(paths) > 1 and data.compressed):
        raise VolumeError(
            f"{source}: its header lists {len(paths)} files of voxels for {data.size[2]} slices, expected one file, or "
            "one for each slice without compression; write the file again with the program that made it"
        )
    for path in paths:
        if not path.is_file():
            raise VolumeError(
                f"{source} cannot be read as an image: its voxels are in {quoted(path.name)}, which is missing; put "
                "both files into one folder"
            )
    parts = [_read_file(path, data, count // len(paths), source) for path in paths]
    voxels = parts[0] if len(parts) == 1 else np.concatenate(parts)
    return voxels.reshape(data.size[::-1])


def _files(data: MetaImageData, source: Path) -> list[Path]:
    """The files with the voxels, in order; the header's own file for LOCAL."""
    if data.name.lower() == "local":
        return [source]
    listed, numbered = _LIST.fullmatch(data.name), _PATTERN.fullmatch(data.name)
    match = listed or numbered
    if match and match["axes"] not in (None, "2"):
        raise VolumeError(
            f"{source}: its header lists files of {match['axes']} axes each, expected a file of 2 axes for each slice; "
            "write the file again with the program that made it"
        )
    if listed:
        with source.open("rb") as file:
            file.seek(_end_of_header(source))
            text = file.read(_HEADER_BYTES).decode("utf-8", "replace")
        names = [line.strip() for line in text.splitlines() if line.strip()]
    elif numbered:
        numbers = range(int(numbered["first"]), int(numbered["last"]) + 1, int(numbered["step"] or 1))
        names = [numbered["name"] % number for number in numbers[: 2**16]]
    elif "%" in data.name:
        raise VolumeError(
            f"{source}: its header names the files with the voxels by {data.name}, expected a pattern such as "
            "slice%03d.raw, the first and the last number, and the step"
        )
    else:
        names = [data.name]
    # A damaged header may give any bytes.
    if not any(names) or not all(name.isprintable() for name in names):
        raise VolumeError(f"{source} cannot be read as an image: its header does not name the file with the voxels")
    # An absolute path stays as it is.
    return [source.parent / name for name in names]


def _read_file(path: Path, data: MetaImageData, count: int, source: Path) -> Array:
    """Read the next ``count`` voxels from a file, as one row in this machine's byte order."""
    byte_count = count * data.dtype.itemsize
    size = path.stat().st_size
    start = size - byte_count if data.skipped == -1 else data.skipped
    if path == source and not start:
        start = _end_of_header(source)
    # Before memory is taken for what a damaged header announces.
    if data.binary and not data.compressed and not 0 <= start <= size - byte_count:
        raise _too_few(count, source)
    with path.open("rb") as file:
        file.seek(max(start, 0))
        if not data.binary:
            return _parse(file.read().split()[:count], data, count, source)
        if data.compressed:
            unpacked = bytearray()
            # To the end: the checksum comes last.
            for piece in inflate(file):
                unpacked += piece[: byte_count - len(unpacked)]
            if len(unpacked) < byte_count:
                raise _too_few(count, source)
            voxels: Array = np.frombuffer(unpacked, data.dtype, count)
        else:
            voxels = np.fromfile(file, data.dtype, count)
    return voxels.astype(data.dtype.newbyteorder("="), copy=False)


def _parse(words: list[bytes], data: MetaImageData, count: int, source: Path) -> Array:
    """The voxels of numbers in text."""
    if len(words) < count:
        raise _too_few(count, source)
    dtype = data.dtype.newbyteorder("=")
    try:
        numbers = np.array(words, np.float64)
    except ValueError:
        numbers = np.array([])
    with np.errstate(invalid="ignore", over="ignore"):
        voxels = numbers.astype(dtype)
    if len(numbers) < count or (dtype.kind != "f" and not np.array_equal(voxels, numbers)):
        raise VolumeError(f"{source} cannot be read as an image: its voxels, in text, are no numbers of its voxel type")
    return voxels


def _end_of_header(source: Path) -> int:
    """Bytes before the line that follows ElementDataFile."""
    with source.open("rb") as file:
        head = file.read(_HEADER_BYTES)
    match = _LAST_LINE.search(head)
    return match.end() if match else len(head)


def _too_few(count: int, source: Path) -> VolumeError:
    return VolumeError(
        f"{source} cannot be read as an image: its header announces {count} voxels, but the data are fewer; copy or "
        "download it again"
    )
