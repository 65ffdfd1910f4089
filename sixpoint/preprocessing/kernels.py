"""Inner loops in C (``kernels.c``) on NumPy arrays: without temporaries, and without Python's lock.

The gateway and the trainer need them; the client does without. Every argument is checked here: C reads and writes what
it is given.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sixpoint._typing import Array, Bools, Float, Floating, Index, Ints, Points
from sixpoint.preprocessing._native import C_TYPES, call_kernel, data_pointer

__all__ = [
    "apply_window",
    "block_means",
    "connected_components",
    "ellipsoid",
    "has_contiguous_rows",
    "heatmap",
    "hull",
    "linear_taps",
    "resample",
    "threshold_resampled",
    "to_half",
]

TapArrays = tuple[Ints, Float]
"""For each sample of an axis its source cells and their weights, both [sample, tap]."""

# Voxels of 16 bits whose sum always fits into 32 bits; sums of 32-bit integers have 64.
_MAX_BLOCK_OF_16_BITS = 2**15


def to_half(values: Float, out: npt.NDArray[np.float16]) -> None:
    """Convert numbers to half precision as IEEE 754 defines it: to nearest, ties to even, subnormals included.

    Args:
        values: Numbers, any shape; those that half precision cannot hold become infinite.
        out: Array of the same shape, to write to.
    """
    _check_shape(out, values.shape)
    call_kernel("to_half", data_pointer(values, np.float32), data_pointer(out, np.float16), values.size)


def apply_window(image: Float, out: Floating, *, centre: float, scale: float, background: float | None = None) -> None:
    """Write (voxel - ``centre``) * ``scale``, clipped to [-1, 1].

    Args:
        image: Voxels, any shape.
        out: Array of the same shape, float16 or float32, to write to.
        centre: Value that becomes 0.
        scale: Twice the inverse of the window's width.
        background: Value that replaces voxels of exactly 0; None: they stay 0.
    """
    _check_shape(out, image.shape)
    values, replace = data_pointer(image, np.float32), background is not None
    arguments = image.size, centre, scale, replace, background or 0.0, _is_half(out)
    call_kernel("apply_window", values, _output_pointer(out), *arguments)


def heatmap(factors: Sequence[Float], out: Floating, *, floor: float) -> None:
    """Write the largest over several points of the product of three factors, one for each axis.

    Args:
        factors: Factors along z, y and x, each [point, cell], at most 1.
        out: Array [z, y, x], float16 or float32, to write to.
        floor: Threshold below which products become 0.
    """
    points = len(factors[0])
    for axis, cells in zip(factors, _shape3(out), strict=True):
        _check_shape(axis, (points, cells))
    axes = (data_pointer(axis, np.float32) for axis in factors)
    call_kernel("heatmap", *axes, points, *out.shape, floor, _output_pointer(out), _is_half(out))


def ellipsoid(squares: Sequence[Float], out: Floating) -> None:
    """Write 1 minus the square root of the sum of three numbers, one for each axis, at least -1.

    Args:
        squares: Squared distances along z, y and x.
        out: Array [z, y, x], float16 or float32, to write to.
    """
    for axis, cells in zip(squares, _shape3(out), strict=True):
        _check_shape(axis, (cells,))
    axes = (data_pointer(axis, np.float32) for axis in squares)
    call_kernel("ellipsoid", *axes, *out.shape, _output_pointer(out), _is_half(out))


def hull(planes: Float, centres: Sequence[Float], out: Floating) -> None:
    """Write the signed distance to the nearest of several planes, positive behind all of them, clipped to [-1, 1].

    Args:
        planes: Outward unit normals (x, y, z) and offsets of the planes, [plane, 4].
        centres: Cell centres along z, y and x.
        out: Array [z, y, x], float16 or float32, to write to.
    """
    _check_shape(planes, (len(planes), 4))
    for axis, cells in zip(centres, _shape3(out), strict=True):
        _check_shape(axis, (cells,))
    axes = (data_pointer(axis, np.float32) for axis in centres)
    call_kernel(
        "hull", data_pointer(planes, np.float32), len(planes), *axes, *out.shape, _output_pointer(out), _is_half(out)
    )


def block_means(image: Array, factors: Index) -> Float:
    """Average blocks of voxels; the last block along an axis may be smaller.

    Integers are summed exactly, floating-point numbers in double precision; every block in the same order, whatever the
    image's memory layout.

    Args:
        image: Array [z, y, x] of real numbers. Types without a kernel are converted first: half precision to single,
            all others to double.
        factors: Voxels per block along (z, y, x), powers of two.

    Returns:
        Means [z, y, x] of the blocks, float32.

    Raises:
        ValueError: The image is not 3D, or a factor is not a power of two.
        MemoryError: Too little memory for the sums.
    """
    if image.ndim != 3 or len(factors) != 3 or any(factor < 1 or factor & (factor - 1) for factor in factors):
        raise ValueError(f"expected a 3D image and three powers of two, got shape {image.shape} and factors {factors}")
    if image.dtype.str not in C_TYPES:
        image = image.astype(np.float32 if image.dtype.itemsize < 8 and image.dtype.kind == "f" else np.float64)
    elif image.dtype.itemsize < 4 and math.prod(map(min, factors, image.shape)) > _MAX_BLOCK_OF_16_BITS:
        image = image.astype(np.int32)
    result = np.empty([-(-n // f) for n, f in zip(image.shape, factors, strict=True)], np.float32)
    layout = [np.array(numbers, np.int64) for numbers in (image.strides, image.shape, factors)]
    pointers = [data_pointer(numbers, np.int64) for numbers in layout]
    name = f"block_means_{C_TYPES[image.dtype.str]}"
    if call_kernel(name, image.ctypes.data, *pointers, data_pointer(result, np.float32)) < 0:
        raise MemoryError
    return result


def has_contiguous_rows(array: Array) -> bool:
    """Whether the numbers along the last axis lie side by side in memory, as :func:`resample` requires."""
    return array.shape[-1] == 1 or not array.size or array.strides[-1] == array.itemsize


def resample(array: Float, taps: TapArrays, *, axis: int) -> Float:
    """Resample one axis of an array: weighted sums of its samples.

    Args:
        array: Array [z, y, x]; a view is accepted where it is contiguous along x.
        taps: Source cells and weights of each new sample.
        axis: Axis of the array, 0 to 2.

    Returns:
        New array with one sample per row of ``taps`` along ``axis``.

    Raises:
        ValueError: The array has another type or layout, or a tap lies outside it.
        MemoryError: Too little memory for the taps.
    """
    if array.dtype != np.float32 or array.ndim != 3 or not has_contiguous_rows(array):
        raise ValueError(
            f"expected a 3D float32 array with contiguous rows, got {array.dtype}, shape {array.shape}, "
            f"strides {array.strides}"
        )
    matrix = _matrix(taps, array.shape[axis])
    result = np.empty((*array.shape[:axis], len(taps[0]), *array.shape[axis + 1 :]), np.float32)
    # Every axis as [block, line, axis, row, inner], with 1 for the missing ones.
    (z, y, x), (plane, row, _) = array.shape, (n // array.itemsize for n in array.strides)
    shape, strides = (
        ((1, 1, z, y, x), (0, 0, plane, row)),
        ((1, z, y, 1, x), (0, plane, row, 0)),
        ((z, y, x, 1, 1), (plane, row, 1, 0)),
    )[axis]
    layout = np.array(strides, np.int64), np.array(shape, np.int64)
    pointers = [data_pointer(numbers, np.int64) for numbers in layout]
    arguments = pointers[0], data_pointer(result, np.float32), pointers[1]
    if call_kernel("resample", array.ctypes.data, *arguments, *matrix) < 0:
        raise MemoryError
    return result


def linear_taps(centres: Points, *, source_size: int, reach: float) -> TapArrays:
    """Sample with a linear kernel: the source cells round each centre, and weights that sum to 1.

    Args:
        centres: Positions of the samples, in continuous index of the source, shape [n].
        source_size: Number of source samples; beyond the ends the nearest one repeats.
        reach: Half the kernel's width in source samples, at least 1.
    """
    if centres.ndim != 1 or source_size < 1 or not reach >= 1 or not np.isfinite(centres).all():
        raise ValueError(
            f"expected finite centres [n], a source and a reach of at least 1, got shape {centres.shape}, "
            f"{source_size} source samples and reach {reach}"
        )
    shape = len(centres), math.ceil(2 * reach)
    cells, weights, used = np.empty(shape, np.int32), np.empty(shape, np.float32), np.zeros(shape[1], np.bool_)
    arrays = data_pointer(cells, np.int32), data_pointer(weights, np.float32), data_pointer(used, np.bool_)
    call_kernel("linear_taps", data_pointer(centres, np.float64), shape[0], source_size, reach, shape[1], *arrays)
    if shape[0] and not used.all():
        cells, weights = np.ascontiguousarray(cells[:, used]), np.ascontiguousarray(weights[:, used])
    return cells, weights


def threshold_resampled(grid: Float, out: Bools, *, taps: Sequence[TapArrays], level: float) -> None:
    """Mark the voxels at which a resampled grid reaches a level, without storing the resampled values.

    Args:
        grid: Array [z, y, x].
        out: Mask [z, y, x], False everywhere, to write to.
        taps: Cells and weights of the voxels along z, y and x.
        level: Threshold in the grid's units.

    Raises:
        ValueError: The mask has another shape than the taps, or a tap lies outside the grid.
        MemoryError: Too little memory for the rows.
    """
    _check_shape(out, tuple(len(cells) for cells, _ in taps))
    if out.size:
        matrices = [part for axis, n in zip(taps, _shape3(grid), strict=True) for part in _matrix(axis, n)]
        arrays = data_pointer(grid, np.float32), data_pointer(out, np.bool_)
        if call_kernel("threshold_resampled", arrays[0], *grid.shape, *matrices, level, arrays[1]) < 0:
            raise MemoryError


def connected_components(mask: Bools) -> tuple[Ints, int]:
    """Label the 26-connected components of a mask [z, y, x].

    Returns:
        Labels [z, y, x], from 1 in the order of the components' first voxels, 0 outside; and the number of components.

    Raises:
        MemoryError: Too little memory for the runs of voxels.
    """
    labels = np.zeros(_shape3(mask), np.int32)
    count = call_kernel(
        "connected_components", data_pointer(mask, np.bool_), data_pointer(labels, np.int32), *mask.shape
    )
    if count < 0:
        raise MemoryError
    return labels, count


def _check_shape(array: Array, shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise ValueError(f"expected an array of shape {shape}, got {array.shape}")


def _shape3(array: Array) -> tuple[int, ...]:
    if array.ndim != 3:
        raise ValueError(f"expected an array [z, y, x], got one of shape {array.shape}")
    return array.shape


def _output_pointer(array: Floating) -> int:
    return data_pointer(array, np.float16 if _is_half(array) else np.float32)


def _is_half(array: Floating) -> bool:
    return array.dtype == np.float16


def _matrix(taps: TapArrays, n: int) -> tuple[int, int, int, int]:
    """Taps as C reads them; all cells must lie among ``n`` samples."""
    cells, weights = taps
    if cells.ndim != 2 or not cells.shape[1] or cells.shape != weights.shape:
        raise ValueError(f"expected cells and weights [sample, tap], got shapes {cells.shape} and {weights.shape}")
    if cells.size and not 0 <= cells.min() <= cells.max() < n:
        raise ValueError(f"cells {cells.min()} to {cells.max()} exceed the array's {n} samples")
    return data_pointer(cells, np.int32), data_pointer(weights, np.float32), *cells.shape
