"""The types of voxels that are supported, and which values an image may have."""

from __future__ import annotations

from typing import Any

import numpy as np

from sixpoint._typing import Array
from sixpoint.errors import VolumeError

__all__ = ["VOXEL_TYPES", "check_voxels", "supported_voxels", "voxel_type_number"]

VOXEL_TYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype("<i1"),
    2: np.dtype("<u1"),
    3: np.dtype("<i2"),
    4: np.dtype("<u2"),
    5: np.dtype("<i4"),
    6: np.dtype("<u4"),
    7: np.dtype("<f4"),
}
"""Voxel types that are supported, by their number in ``sixpoint.v1.VoxelType``."""


def voxel_type_number(dtype: np.dtype[Any]) -> int:
    """The number of a dtype in ``sixpoint.v1.VoxelType``.

    Raises:
        VolumeError: Voxels of this dtype are not supported.
    """
    for number, supported in VOXEL_TYPES.items():
        if supported == dtype:
            return number
    names = ", ".join(map(str, VOXEL_TYPES.values()))
    raise VolumeError(f"voxels of type {dtype} are not supported; expected one of {names}")


def check_voxels(array: Array) -> None:
    """Refuse an image with voxels that are NaN or infinite: to a network they would be any number.

    Raises:
        VolumeError: There are such voxels; the message says how many.
    """
    if array.dtype.kind == "f":
        # A sum takes a third of the time of isfinite; only a sum that is not finite needs a closer look.
        with np.errstate(over="ignore", invalid="ignore"):
            suspicious = not np.isfinite(array.sum(dtype=np.float64))
        if suspicious:
            wrong = int(array.size - np.count_nonzero(np.isfinite(array)))
            if wrong == array.size:
                raise VolumeError(
                    "all voxels of the image are NaN or infinite, so there is nothing to see in it; check that this is "
                    "the right file"
                )
            if wrong:
                raise VolumeError(
                    f"the image has {wrong} voxels that are NaN or infinite; replace them by the value of the "
                    "background, e.g. with numpy.nan_to_num"
                )


def supported_voxels(array: Array) -> Array:
    """Convert an array to a supported form: C order, little-endian, no type wider than 32 bits.

    Raises:
        VolumeError: Its numbers do not fit into such a type.
    """
    if array.dtype.kind == "f" and array.dtype.itemsize in (2, 8):
        with np.errstate(over="ignore"):
            single = array.astype("<f4")
        infinite = np.isinf(single)
        if infinite.any() and not np.array_equal(infinite, np.isinf(array)):
            raise VolumeError(f"voxels of type {array.dtype} are supported only while they fit into float32")
        array = single
    elif array.dtype.kind in "iu" and array.dtype.itemsize == 8:
        narrow = np.dtype("<i4") if array.dtype.kind == "i" else np.dtype("<u4")
        limits = np.iinfo(narrow)
        if array.size and (array.min() < limits.min or array.max() > limits.max):
            raise VolumeError(f"voxels of type {array.dtype} are supported only while they fit into {narrow}")
        array = array.astype(narrow)
    elif array.dtype == np.bool_:
        array = array.astype(np.uint8)
    array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    voxel_type_number(array.dtype)
    return array
