"""Read NIfTI: geometry as ITK understands the header, voxels by nibabel.

ITK's own NIfTI reader fills the voxels that a truncated file lacks with zeros, takes those of ``a.nii.gz`` from an
``a.nii`` beside it, and replaces numbers of the header that are missing or damaged. So the header is checked first, and
ITK is given nothing else.
"""

from __future__ import annotations

import gzip
import itertools
import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np

from sixpoint._typing import Array, Vector
from sixpoint.errors import VolumeError
from sixpoint.geometry import Geometry
from sixpoint.io.nifti.header import NiftiHeader, parse_header

if TYPE_CHECKING:
    import SimpleITK as sitk

__all__ = ["nifti_byte_count", "read_nifti"]

# Bytes read for the header: its 348, and some of the extensions, which ITK does not need.
_HEADER_BYTES = 2**12
_PIECE_BYTES = 2**20
_GZIP_MAGIC = b"\x1f\x8b"
# How far the two positions that a NIfTI header gives a voxel may lie apart, in voxels.
_MAX_OFFSET = 0.5
# Cosine between two axes above which the message speaks of shear.
_RIGHT_ANGLE = 1e-3
# As ITK compares slope and intercept with 1 and 0.
_EPSILON = np.finfo(np.float64).eps


def read_nifti(source: Path, *, spacing: Vector | None = None) -> tuple[tuple[Array, Geometry], NiftiHeader]:
    """Read a ``.nii`` or ``.nii.gz`` file of NIfTI-1.

    Args:
        source: File to read.
        spacing: Spacing (x, y, z) in mm from a person, for a header that lacks it.

    Returns:
        The voxels [z, y, x] with their geometry, in mm, and the header.

    Raises:
        VolumeError: The file is truncated or damaged, is no single 3D image with one number per voxel, or its header
            gives no position, scaling or spacing that can be relied on, or two positions, or contradicts ``spacing``.
        OSError: The file cannot be read.
        zlib.error: The compressed data are damaged.
    """
    import SimpleITK as sitk

    opener = gzip.open if _is_compressed(source) else open
    try:
        with cast(BinaryIO, opener(source, "rb")) as file:
            header = parse_header(file.read(_HEADER_BYTES), source, spacing=spacing)
            reader = _read_header(header, source)
            array = _read_voxels(file, header, _dtype(reader), source)
            # To the end: gzip's checksum comes last.
            while file.read(_PIECE_BYTES):
                pass
    except gzip.BadGzipFile as error:
        what = "other data follow its compressed data" if "gzipped" in str(error) else "its compressed data are damaged"
        raise VolumeError(
            f"{source} cannot be read as an image: {what}; copy or download it again, or write it anew: "
            "gzip -dc FILE > NEW.nii"
        ) from error
    except EOFError as error:
        raise VolumeError(f"{source} is truncated: its compressed data end early; copy or download it again") from error
    # Without its voxels, which it would copy.
    grid = sitk.Image([1, 1, 1], sitk.sitkUInt8)
    grid.SetSpacing(reader.GetSpacing())
    grid.SetOrigin(reader.GetOrigin())
    grid.SetDirection(reader.GetDirection())
    if header.placement.sform_code > 0:
        _check_sform(header, grid, source)
    try:
        geometry = Geometry(header.size, grid.GetSpacing(), grid.GetOrigin(), grid.GetDirection())
    except VolumeError as error:
        raise VolumeError(f"{source}: {error.message}") from error
    return (array, geometry), header


def nifti_byte_count(source: Path) -> int:
    """Return how many bytes the voxels of a ``.nii`` or ``.nii.gz`` file take in memory, as its header says.

    Raises:
        VolumeError: The file is damaged, or no NIfTI file.
        OSError: The file cannot be read.
        zlib.error: The compressed data are damaged.
    """
    opener = gzip.open if _is_compressed(source) else open
    try:
        with cast(BinaryIO, opener(source, "rb")) as file:
            header = parse_header(file.read(_HEADER_BYTES), source)
    except (gzip.BadGzipFile, EOFError) as error:
        raise VolumeError(f"{source} cannot be read as an image: its compressed data are damaged") from error
    return math.prod(header.size) * _dtype(_read_header(header, source)).itemsize


def _is_compressed(source: Path) -> bool:
    """Whether a file is compressed.

    Raises:
        VolumeError: It is not what its suffix says, or without compression no NIfTI file either.
    """
    named = source.name.lower().endswith(".gz")
    with source.open("rb") as file:
        head = file.read(_HEADER_BYTES)
    compressed = head.startswith(_GZIP_MAGIC)
    if named and not compressed:
        # Something else than NIfTI gets no advice to rename it.
        parse_header(head, source)
    if compressed != named:
        what, name = ("", source.name + ".gz") if compressed else ("not ", source.stem)
        raise VolumeError(
            f"{source} cannot be read as an image: it is {what}compressed by gzip, contrary to its name; rename it to "
            f"{name}"
        )
    return compressed


def _read_header(header: NiftiHeader, source: Path) -> sitk.ImageFileReader:
    """ITK's reader of a file that has only the header of a NIfTI file, ``source``."""
    import SimpleITK as sitk

    with tempfile.TemporaryDirectory(prefix="sixpoint-") as folder:
        reader = sitk.ImageFileReader()
        reader.SetFileName(str(Path(folder) / "image.nii"))
        # ITK refuses a sform whose axes are not at right angles, however near; _check_sform measures how far.
        for attempt in (header, _straightened(header)):
            if attempt is not None:
                Path(reader.GetFileName()).write_bytes(attempt.content)
                try:
                    reader.ReadImageInformation()
                except RuntimeError:
                    continue
                return reader
    raise VolumeError(
        f"{source}: its header is damaged: it gives no axes for the image; write the file again with the program that "
        "made it"
    )


def _dtype(reader: sitk.ImageFileReader) -> np.dtype[Any]:
    """NumPy's type for ITK's pixel type, of one number per voxel."""
    import SimpleITK as sitk

    types: dict[int, type[np.generic]] = {
        sitk.sitkInt8: np.int8,
        sitk.sitkUInt8: np.uint8,
        sitk.sitkInt16: np.int16,
        sitk.sitkUInt16: np.uint16,
        sitk.sitkInt32: np.int32,
        sitk.sitkUInt32: np.uint32,
        sitk.sitkInt64: np.int64,
        sitk.sitkUInt64: np.uint64,
        sitk.sitkFloat32: np.float32,
        sitk.sitkFloat64: np.float64,
    }
    return np.dtype(types[reader.GetPixelID()])


def _straightened(header: NiftiHeader) -> NiftiHeader | None:
    """The header with the nearest sform whose axes are at right angles; None if there is no sform, or no such one."""
    if header.placement.sform_code <= 0:
        return None
    sform = np.array(header.placement.sform, np.float64).reshape(3, 4)
    scale = np.linalg.norm(sform[:, :3], axis=0)
    if not scale.all():
        return None
    left, _, right = np.linalg.svd(sform[:, :3] / scale)
    sform[:, :3] = left @ right * scale
    return header.with_sform(tuple(sform.reshape(-1).tolist()))


def _read_voxels(file: BinaryIO, header: NiftiHeader, dtype: np.dtype[Any], source: Path) -> Array:
    """Read the voxels [z, y, x] of a NIfTI file, in the type that ITK reads them in."""
    # Imported late: it takes as long as all the rest of sixpoint.
    from nibabel.nifti1 import Nifti1Header

    file.seek(0)
    stored = Nifti1Header.from_fileobj(file, check=False).get_data_dtype()
    content = bytearray(math.prod(header.size) * stored.itemsize)
    try:
        file.seek(header.vox_offset)
        complete = _fill(memoryview(content), file)
    except (OSError, EOFError) as error:
        if isinstance(error, gzip.BadGzipFile):
            raise
        raise _truncated(source, len(content)) from error
    if not complete:
        raise _truncated(source, len(content))
    voxels = np.frombuffer(content, stored).reshape(header.size[::-1])
    slope, intercept = header.scaling or (1.0, 0.0)
    if abs(slope - 1) <= _EPSILON and abs(intercept) <= _EPSILON:
        # No copy: of a large image it would fill a good part of the memory.
        return voxels.astype(dtype, copy=False)
    # As ITK does: in double precision, to values of the type that it reads.
    scaled = np.empty(voxels.shape, dtype)
    for index, plane in enumerate(voxels):
        scaled[index] = (plane.astype(dtype).astype(np.float64) * slope + intercept).astype(dtype)
    return scaled


def _truncated(source: Path, nbytes: int) -> VolumeError:
    return VolumeError(
        f"{source} is truncated: its header announces {nbytes} bytes of voxels, but the file ends earlier; copy or "
        "download it again"
    )


def _fill(data: memoryview, file: BinaryIO) -> bool:
    """Read bytes piece by piece, so that those of a compressed file are in memory once; False if the file ends."""
    place = 0
    while place < len(data):
        count = file.readinto(data[place : place + _PIECE_BYTES])  # type: ignore[attr-defined]  # binary files have it
        if not count:
            return False
        place += count
    return True


def _check_sform(header: NiftiHeader, image: sitk.Image, source: Path) -> None:
    """Refuse an image whose sform gives it another position than ITK's, from qform or pixdim: other programs use it.

    Args:
        header: The file's header.
        image: An image of ITK in that place, of any size.
        source: The file.

    Raises:
        VolumeError: The positions differ; the message says how to repair the file.
    """
    sform = np.array(header.placement.sform, np.float64).reshape(3, 4) * header.unit_mm
    corners = np.array(list(itertools.product(*((0.0, n - 1.0) for n in header.size))))
    positions = [image.TransformContinuousIndexToPhysicalPoint(corner) for corner in corners.tolist()]
    # NIfTI's x and y run to the right and to the front, ITK's to the left and to the back.
    offset = np.linalg.norm((corners @ sform[:, :3].T + sform[:, 3]) * [-1, -1, 1] - positions, axis=1).max()
    # NaN is refused, too.
    if offset <= _MAX_OFFSET * min(image.GetSpacing()):
        return
    axes = sform[:, :3] / np.linalg.norm(sform[:, :3], axis=0)
    if not header.placement.qform_code and np.abs(axes.T @ axes - np.eye(3)).max() > _RIGHT_ANGLE:
        raise VolumeError(
            f"{source}: its sform is sheared: on axes at right angles, voxels would lie up to {offset:.2f} mm off; "
            "resample the image to a grid with axes at right angles"
        )
    raise VolumeError(
        f"{source}: its header gives two positions for the image, {offset:.2f} mm apart: the sform's, and that of "
        "the qform or pixdim; write the file again with one of them: fslorient -copysform2qform FILE, or nibabel's "
        "set_qform and set_sform with one affine"
    )
