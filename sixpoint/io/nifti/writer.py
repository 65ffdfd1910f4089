"""Write a NIfTI file with the header fields that place another image: the mask lies where programs put its image."""

from __future__ import annotations

import gzip
from contextlib import ExitStack
from pathlib import Path
from typing import IO, cast

import numpy as np

from sixpoint._typing import Array
from sixpoint.io.nifti.header import HEADER_BYTES, NiftiPlacement

__all__ = ["write_nifti"]

_PIECE_BYTES = 2**24


def write_nifti(array: Array, placement: NiftiPlacement, path: Path) -> None:
    """Write a ``.nii`` or ``.nii.gz`` file of NIfTI-1.

    Args:
        array: Voxels [z, y, x].
        placement: Fields that place the voxels.
        path: File to write.

    Raises:
        OSError: The file cannot be written.
    """
    # Imported late: it takes as long as all the rest of sixpoint.
    from nibabel.nifti1 import Nifti1Header

    header = Nifti1Header(endianness="<")
    header.set_data_dtype(array.dtype)
    header.set_data_shape(array.shape[::-1])
    fields = {
        "magic": b"n+1",
        "vox_offset": HEADER_BYTES,
        "scl_slope": 1,
        "scl_inter": 0,
        "qform_code": placement.qform_code,
        "sform_code": placement.sform_code,
        "xyzt_units": placement.units,
    }
    fields |= dict(zip(("quatern_b", "quatern_c", "quatern_d"), placement.quaternion, strict=True))
    fields |= dict(zip(("qoffset_x", "qoffset_y", "qoffset_z"), placement.qoffset, strict=True))
    for name, value in fields.items():
        header[name] = value
    header["pixdim"][:4] = placement.qfac, *placement.pixdim
    for row, name in enumerate(("srow_x", "srow_y", "srow_z")):
        header[name] = placement.sform[4 * row : 4 * row + 4]
    content = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(-1).view(np.uint8).data
    with ExitStack() as stack:
        file: IO[bytes] = stack.enter_context(path.open("wb"))
        if path.name.endswith(".gz"):
            # Without a time, so that equal masks are equal files.
            packed = gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=0)
            file = cast("IO[bytes]", stack.enter_context(packed))
        file.write(bytes(header.binaryblock).ljust(HEADER_BYTES, b"\0"))
        for start in range(0, len(content), _PIECE_BYTES):
            file.write(content[start : start + _PIECE_BYTES])
