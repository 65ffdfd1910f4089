"""PNG files of slices: how large they are, and the mask in one."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np

from sixpoint._typing import Bools
from sixpoint.errors import VolumeError

__all__ = ["png_of_mask", "png_size"]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_HEADER = struct.Struct(">8sI4sII")
_MAX_PIXELS = 2**24


def png_size(path: Path) -> tuple[int, int]:
    """Read the size (x, y) of an image; its pixels are not read.

    Raises:
        VolumeError: It is no PNG file, or too large.
    """
    with path.open("rb") as file:
        head = file.read(_HEADER.size)
    if len(head) < _HEADER.size or not head.startswith(_SIGNATURE):
        raise VolumeError("the image is no PNG file; expected a slice as PNG, or a volume as NIfTI")
    *_, kind, x, y = _HEADER.unpack(head)
    if kind != b"IHDR" or not 1 <= x * y <= _MAX_PIXELS:
        raise VolumeError(f"the PNG file is damaged, or has more than {_MAX_PIXELS} pixels")
    return x, y


def png_of_mask(mask: Bools) -> bytes:
    """Return a mask [y, x] as a PNG file of bytes, 0 and 1, which MITK pastes into its labels as they are."""
    y, x = mask.shape
    # Each line begins with the kind of its filter: none.
    lines = np.pad(mask.astype(np.uint8), ((0, 0), (1, 0))).tobytes()
    header = struct.pack(">IIBBBBB", x, y, 8, 0, 0, 0, 0)
    return _SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(lines)) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
