"""The files that travel: label maps and images as NRRD or NIfTI, written piece by piece."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import numpy as np

from sixpoint._typing import Array
from sixpoint.errors import FailedPrecondition, InvalidArgument
from sixpoint.errors.shortening import quoted
from sixpoint.geometry import Geometry
from sixpoint.mask import PackedMask, check_box, voxels_of

__all__ = [
    "SUFFIXES",
    "FileFormat",
    "check_result_dtype",
    "check_result_suffix",
    "label_map_bytes",
    "nifti_header",
    "nrrd_header",
    "write_label_map",
]

SUFFIXES = (".nrrd", ".nii.gz", ".nii")
"""Kinds of files in which label maps are sent."""
_DTYPES = ("uint8", "uint16", "int16", "int32", "uint32")

_NRRD_TYPES = {"float32": "float", "float64": "double"}
_PIECE_BYTES = 2**22
# Masks are mostly runs: more effort gains a few percent of the size, and takes several times as long.
_LEVEL = 1
_NIFTI_HEADER_BYTES = 352


@dataclass(frozen=True)
class FileFormat:
    """How a label map is written.

    Attributes:
        suffix: Kind of the file, one of :data:`SUFFIXES`.
        compress: Whether voxels of a NRRD file are compressed.
        dtype: Type of the voxels, as :func:`check_result_dtype` returns it; empty for the smallest.
    """

    suffix: str
    compress: bool = True
    dtype: str = ""


def check_result_suffix(suffix: object) -> str:
    """Return the kind of file that a client asks for.

    Raises:
        InvalidArgument: It is none that is sent.
    """
    if suffix not in SUFFIXES:
        raise InvalidArgument(
            f"params.result_extension is {quoted(str(suffix))}; expected one of {', '.join(SUFFIXES)}"
        )
    return str(suffix)


def check_result_dtype(dtype: object, *, labels: int) -> str:
    """Return the type of voxels that a client asks for.

    Args:
        dtype: What it asks for; nothing for the smallest type.
        labels: Largest number of a label.

    Raises:
        InvalidArgument: It is none that is sent, or the labels do not fit.
    """
    if not dtype:
        return ""
    if dtype not in _DTYPES:
        raise InvalidArgument(f"params.result_dtype is {quoted(str(dtype))}; expected one of {', '.join(_DTYPES)}")
    if labels > np.iinfo(str(dtype)).max:
        raise InvalidArgument(f"params.result_dtype is {dtype}, but there are {labels} labels; ask for a larger type")
    return str(dtype)


def nrrd_header(geometry: Geometry, dtype: np.dtype[np.generic], *, encoding: str) -> bytes:
    """Return the header of a NRRD file, up to the voxels."""
    matrix = np.array(geometry.direction).reshape(3, 3) * np.array(geometry.spacing)
    lines = [
        "NRRD0004",
        f"type: {_NRRD_TYPES.get(dtype.name, dtype.name)}",
        "dimension: 3",
        "space: left-posterior-superior",
        f"sizes: {' '.join(map(str, geometry.size))}",
        f"space directions: {' '.join(_vector(matrix[:, axis].tolist()) for axis in range(3))}",
        "kinds: domain domain domain",
        "endian: little",
        f"encoding: {encoding}",
        f"space origin: {_vector(geometry.origin)}",
    ]
    return ("\n".join(lines) + "\n\n").encode()


def label_map_bytes(geometry: Geometry, parts: Sequence[tuple[int, PackedMask]], *, dtype: str = "") -> int:
    """Estimate the memory that :func:`write_label_map` needs."""
    boxes = [np.prod([b - a for a, b in zip(mask.lower, mask.upper, strict=True)], dtype=float) for _, mask in parts]
    x, y, z = geometry.size
    return x * y * z * np.dtype(dtype or _dtype(parts)).itemsize + int(1.2 * max(boxes, default=0)) + 2 * _PIECE_BYTES


def write_label_map(
    path: Path, geometry: Geometry, parts: Sequence[tuple[int, PackedMask]], file_format: FileFormat
) -> None:
    """Write a label map.

    Args:
        path: File to write.
        geometry: Geometry of the image.
        parts: Number and whole mask of each label; where they overlap, the last one wins.
        file_format: How it is written.
    """
    labels = np.zeros(geometry.shape, np.dtype(file_format.dtype or _dtype(parts)).newbyteorder("<"))
    for number, packed in parts:
        check_box(packed, geometry.size)
        (x0, y0, z0), (x1, y1, z1) = packed.lower, packed.upper
        labels[z0:z1, y0:y1, x0:x1][voxels_of(packed)] = number
    with path.open("wb") as file:
        if file_format.suffix == ".nrrd":
            encoding = "gzip" if file_format.compress else "raw"
            file.write(nrrd_header(geometry, labels.dtype, encoding=encoding))
            _write(labels, file, b"", compress=file_format.compress)
        else:
            compress = file_format.suffix.endswith(".gz")
            _write(labels, file, nifti_header(geometry, labels.dtype), compress=compress)


def _write(labels: Array, file: IO[bytes], header: bytes, *, compress: bool) -> None:
    target = file
    if compress:
        # Without a time, so that equal masks are equal files.
        packed = gzip.GzipFile("", "wb", compresslevel=_LEVEL, fileobj=file, mtime=0)
        target = cast("IO[bytes]", packed)
    target.write(header)
    content = labels.reshape(-1).view(np.uint8).data
    for start in range(0, len(content), _PIECE_BYTES):
        target.write(content[start : start + _PIECE_BYTES])
    if compress:
        target.close()


def nifti_header(geometry: Geometry, dtype: np.dtype[np.generic]) -> bytes:
    """Return the header of a NIfTI file, up to the voxels.

    Raises:
        FailedPrecondition: This gateway was installed without what writes it.
    """
    try:
        # Imported late: few clients ask for NIfTI.
        from nibabel.nifti1 import Nifti1Header
    except ImportError:
        raise FailedPrecondition(
            "this gateway was installed without nibabel, which writes NIfTI; ask for .nrrd"
        ) from None
    affine = np.eye(4)
    affine[:3, :3] = np.array(geometry.direction).reshape(3, 3) * np.array(geometry.spacing)
    affine[:3, 3] = geometry.origin
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    header = Nifti1Header(endianness="<")
    header.set_data_dtype(dtype)
    header.set_data_shape(geometry.size)
    header.set_xyzt_units("mm")
    header.set_qform(affine, 1)
    header.set_sform(affine, 1)
    header["magic"], header["vox_offset"], header["scl_slope"] = b"n+1", _NIFTI_HEADER_BYTES, 1
    return bytes(header.binaryblock).ljust(_NIFTI_HEADER_BYTES, b"\0")


def _dtype(parts: Sequence[tuple[int, PackedMask]]) -> np.dtype[np.generic]:
    return np.dtype("<u2" if max((number for number, _ in parts), default=0) > 255 else "u1")


def _vector(values: Sequence[float]) -> str:
    return f"({','.join(repr(float(value)) for value in values)})"
