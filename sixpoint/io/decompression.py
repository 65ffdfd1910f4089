"""Decompress the voxels of MetaImage and NRRD files: ITK itself accepts whatever damaged data inflate to."""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

__all__ = ["decompress", "inflate"]

# Upper bound of a header, so that a file of another kind is not read to its end.
_HEADER_BYTES = 2**20
_PIECE_BYTES = 2**20
_GZIP_MAGIC = b"\x1f\x8b"
# zlib's wbits for data with a zlib or a gzip header.
_ZLIB_OR_GZIP = 47


@dataclass(frozen=True)
class _Packed:
    """Where a compressed image has its voxels.

    Attributes:
        header: Header of the same image without compression, in one file with the voxels.
        data: File with the compressed voxels.
        start: Bytes before the compressed voxels.
        lines: Lines between those bytes and the compressed voxels.
    """

    header: bytes
    data: Path
    start: int
    lines: int = 0


def decompress(source: Path, target: Path) -> bool:
    """Write a compressed NRRD file to ``target`` without compression.

    Returns:
        Whether the file is compressed and has its voxels in one file; otherwise nothing is written.

    Raises:
        OSError: A file cannot be read or written.
        EOFError: The compressed voxels are truncated.
        zlib.error: The compressed voxels are damaged.
    """
    with source.open("rb") as file:
        packed = _nrrd(source, file.read(_HEADER_BYTES))
    if packed is None:
        return False
    with packed.data.open("rb") as data, target.open("wb") as unpacked:
        unpacked.write(packed.header)
        data.seek(packed.start)
        for _ in range(packed.lines):
            data.readline(_PIECE_BYTES)
        for piece in inflate(data):
            unpacked.write(piece)
    return True


def inflate(data: BinaryIO) -> Iterator[bytes]:
    """Yield the content of zlib data, or of gzip data of one or several members, in pieces of a megabyte at most.

    Raises:
        EOFError: The data are truncated.
        zlib.error: The data are damaged.
    """
    piece = data.read(_PIECE_BYTES)
    while True:
        inflater = zlib.decompressobj(_ZLIB_OR_GZIP)
        while not inflater.eof:
            if not piece:
                raise EOFError("its compressed voxels are cut short; copy or download it again")
            # Bounded output: a megabyte may inflate to a thousand.
            yield inflater.decompress(piece, _PIECE_BYTES)
            piece = inflater.unconsumed_tail or (b"" if inflater.eof else data.read(_PIECE_BYTES))
        piece = inflater.unused_data + data.read(_PIECE_BYTES)
        if not piece.startswith(_GZIP_MAGIC):
            return


def _nrrd(source: Path, head: bytes) -> _Packed | None:
    end = re.search(rb"\r?\n\r?\n", head)
    text = head[: end.start()] if end else head

    def field(name: bytes) -> bytes:
        match = re.search(rb"^" + name + rb"[ \t]*:(?!=)[ \t]*(.*?)[ \t]*\r?$", text, re.MULTILINE | re.IGNORECASE)
        return match[1] if match else b""

    encoding, name, skipped = field(b"encoding"), field(b"data ?file"), field(b"line ?skip")
    if not head.startswith(b"NRRD") or encoding.lower() not in (b"gzip", b"gz"):
        return None
    if name.startswith(b"LIST") or b"%" in name or not (end or name):
        return None
    header = re.sub(rb"(?mi)^(encoding|data ?file|line ?skip)[ \t]*:(?!=).*\n?", b"", text).rstrip(b"\r\n")
    header += b"\nencoding: raw\n\n"
    lines = int(skipped) if skipped.isdigit() else 0
    if name:
        return _Packed(header, source.parent / os.fsdecode(name), 0, lines)
    return _Packed(header, source, end.end() if end else 0, lines)
