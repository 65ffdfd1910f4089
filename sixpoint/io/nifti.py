"""Read NIfTI: geometry as ITK understands the header, voxels by nibabel.

ITK's own NIfTI reader fills the voxels that a truncated file lacks with zeros, and takes those of ``a.nii.gz`` from an
``a.nii`` beside it. nibabel does neither; so ITK is given the header alone.
"""

from __future__ import annotations

import gzip
import itertools
import math
import tempfile
from io import IOBase
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np
import SimpleITK as sitk

from sixpoint._typing import Array
from sixpoint.errors import VolumeError

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Header

__all__ = ["read_nifti"]

# Bytes read for the header: its 348, and some of the extensions, which ITK does not need.
_HEADER_BYTES = 2**12
_PIECE_BYTES = 2**20
# As in ITK, voxels begin right behind the header where its vox_offset is impossible; some writers leave it 0.
_MIN_VOX_OFFSET = 348
_MAX_VOX_OFFSET = 2**31
# How far the two positions that a NIfTI header gives a voxel may lie apart, in voxels.
_MAX_OFFSET = 0.5
# Millimetres in a unit of length of NIfTI's xyzt_units. As in ITK, an unnamed unit is a millimetre.
_NIFTI_UNITS = {1: 1000.0, 3: 0.001}
_DTYPES = {
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
"""NumPy's types for ITK's pixel types with one number per voxel."""
# As ITK compares slope and intercept with 1 and 0.
_EPSILON = np.finfo(np.float64).eps


def read_nifti(source: Path) -> sitk.Image:
    """Read a ``.nii`` or ``.nii.gz`` file of NIfTI-1.

    Raises:
        VolumeError: The file is truncated, has several numbers per voxel, or its header gives two positions.
        RuntimeError: ITK cannot read the header.
        OSError: The file cannot be read, or is no gzip file.
        EOFError: The compressed data end early.
        zlib.error: The compressed data are damaged.
    """
    opener = gzip.open if source.name.lower().endswith(".gz") else open
    with cast(BinaryIO, opener(source, "rb")) as file:
        reader = _read_header(file.read(_HEADER_BYTES), source)
        if reader.GetPixelID() not in _DTYPES:
            raise VolumeError(
                f"{source}: expected one number per voxel, got {reader.GetNumberOfComponents()}; split the image into "
                "its components"
            )
        array = _read_voxels(file, reader, source)
        # To the end: gzip's checksum comes last.
        while file.read(_PIECE_BYTES):
            pass
    image = sitk.GetImageFromArray(array, isVector=False)
    image.SetSpacing(reader.GetSpacing())
    image.SetOrigin(reader.GetOrigin())
    image.SetDirection(reader.GetDirection())
    if image.GetDimension() >= 3 and int(reader.GetMetaData("sform_code")) > 0:
        _check_sform(reader, image, source)
    return image


def _read_header(head: bytes, source: Path) -> sitk.ImageFileReader:
    """ITK's reader of a file that has only the first bytes of a NIfTI file, ``source``."""
    with tempfile.TemporaryDirectory(prefix="sixpoint-") as folder:
        path = Path(folder) / "image.nii"
        path.write_bytes(head)
        reader = sitk.ImageFileReader()
        reader.SetFileName(str(path))
        try:
            reader.ReadImageInformation()
        except RuntimeError as error:
            raise RuntimeError(str(error).replace(str(path), str(source))) from error
    return reader


def _read_voxels(file: BinaryIO, reader: sitk.ImageFileReader, source: Path) -> Array:
    """Read the voxels [..., z, y, x] of a NIfTI file, in the type that ITK reads them in."""
    # Imported late: it takes as long as all the rest of sixpoint.
    from nibabel.nifti1 import Nifti1Header
    from nibabel.volumeutils import array_from_file

    file.seek(0)
    header = Nifti1Header.from_fileobj(file, check=False)
    shape, stored = reader.GetSize(), header.get_data_dtype()
    announced = float(header["vox_offset"])
    offset = int(announced) if _MIN_VOX_OFFSET <= announced < _MAX_VOX_OFFSET else _MIN_VOX_OFFSET
    try:
        voxels = array_from_file(shape, stored, cast(IOBase, file), offset=offset, mmap=False)
    except (OSError, EOFError) as error:
        if isinstance(error, gzip.BadGzipFile):
            raise
        raise VolumeError(
            f"{source} is truncated: its header announces {math.prod(shape) * stored.itemsize} bytes of voxels, but "
            "the file ends earlier; copy or download it again"
        ) from error
    return _rescale(voxels.T, header, np.dtype(_DTYPES[reader.GetPixelID()]))


def _rescale(stored: Array, header: Nifti1Header, dtype: np.dtype[Any]) -> Array:
    """Apply the header's slope and intercept as ITK does: in double precision, to values of the type that it reads.

    ITK takes a number that is not finite for 0, in the header and in the voxels, and a slope of 0 for 1.
    """
    scaling = float(header["scl_slope"]), float(header["scl_inter"])
    slope, intercept = (number if math.isfinite(number) else 0.0 for number in scaling)
    if abs(slope) <= _EPSILON:
        slope = 1.0
    values = stored.astype(dtype)
    if dtype.kind == "f":
        # NaN is a common background, and the gateway refuses it.
        values[~np.isfinite(values)] = 0
    if abs(slope - 1) <= _EPSILON and abs(intercept) <= _EPSILON:
        return values
    return (values.astype(np.float64) * slope + intercept).astype(dtype)


def _check_sform(reader: sitk.ImageFileReader, image: sitk.Image, source: Path) -> None:
    """Refuse an image whose sform gives it another position than ITK's, from qform or pixdim: other programs use it.

    Raises:
        VolumeError: The positions differ; the message says how to repair the file.
    """
    unit = _NIFTI_UNITS.get(int(reader.GetMetaData("xyzt_units")) & 7, 1.0)
    sform = np.array([reader.GetMetaData(f"srow_{axis}").split() for axis in "xyz"], np.float64) * unit
    corners = np.array(list(itertools.product(*((0.0, n - 1.0) for n in image.GetSize()[:3]))))
    others = (0.0,) * (image.GetDimension() - 3)
    positions = [image.TransformContinuousIndexToPhysicalPoint((*corner, *others))[:3] for corner in corners.tolist()]
    # NIfTI's x and y run to the right and to the front, ITK's to the left and to the back.
    offset = np.linalg.norm((corners @ sform[:, :3].T + sform[:, 3]) * [-1, -1, 1] - positions, axis=1).max()
    # NaN is refused, too.
    if not offset <= _MAX_OFFSET * min(image.GetSpacing()[:3]):
        raise VolumeError(
            f"{source}: its header gives two positions for the image, {offset:.2f} mm apart: the sform's, and that of "
            "the qform or pixdim; write the file again with one of them: fslorient -copysform2qform FILE, or nibabel's "
            "set_qform and set_sform with one affine"
        )
