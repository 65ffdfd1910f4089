"""The inner loops in C (``kernels.c``), called with NumPy arrays: without temporaries, and without Python's lock.

Only what the server and the trainer compute is there; the client does without.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sixpoint._typing import Array, Bools, Counts, Float, Index, Ints, Points
from sixpoint.preprocessing._native import C_TYPES, call_kernel, data_pointer

__all__ = [
    "apply_window",
    "block_means",
    "connected_components",
    "difference_box",
    "ellipsoid",
    "has_contiguous_rows",
    "heatmap",
    "hull",
    "linear_taps",
    "order_statistics",
    "resample",
    "select_by_label",
    "threshold_resampled",
    "to_half",
]

TapArrays = tuple[Ints, Float]
"""For each sample of an axis the cells that it is made of, and their weights; both [sample, tap]."""

# As many fit a sum of 32 bits; those of wider integers have 64.
_MOST_OF_16_BITS = 2**15


def to_half(values: Float, out: npt.NDArray[np.float16]) -> None:
    """Write numbers in [-1, 1] in half precision.

    Rounds to the nearest, of two that are as near to the larger one (NumPy: to the even one). Numbers of less than
    2 ** -14, for which there are only subnormal ones, come out too small, by less than 2 ** -15.

    Args:
        values: Finite, of any shape.
        out: Of the same shape.
    """
    call_kernel("to_half", data_pointer(values, np.float32), data_pointer(out, np.float16), values.size)


def apply_window(image: Float, out: Array, *, centre: float, scale: float, background: float | None = None) -> None:
    """Write voxels less ``middle``, times ``scale``, clipped to [-1, 1].

    Args:
        image: Of any shape.
        out: Of the same shape, float16 or float32.
        centre: Value that becomes 0.
        scale: Twice the inverse of the window's width.
        background: What voxels that are 0 count as; None: 0.
    """
    some = background is not None
    call_kernel(
        "window",
        data_pointer(image, np.float32),
        _out(out),
        image.size,
        centre,
        scale,
        some,
        background or 0.0,
        _is_half(out),
    )


def heatmap(factors: Sequence[Float], out: Array, *, floor: float) -> None:
    """Write the largest, over several points, of the product of three numbers, one from each axis.

    Args:
        factors: Along z, y and x, each [point, cell], at most 1.
        out: Array [z, y, x], float16 or float32.
        floor: Products below it count as 0.
    """
    axes = (data_pointer(axis, np.float32) for axis in factors)
    call_kernel("heatmap", *axes, len(factors[0]), *out.shape, floor, _out(out), _is_half(out))


def ellipsoid(squares: Sequence[Float], out: Array) -> None:
    """Write 1 less the square root of the sum of three numbers, one from each axis, but at least -1.

    Args:
        squares: Along z, y and x.
        out: Array [z, y, x], float16 or float32.
    """
    call_kernel(
        "ellipsoid", *(data_pointer(axis, np.float32) for axis in squares), *out.shape, _out(out), _is_half(out)
    )


def hull(planes: Float, centres: Sequence[Float], out: Array) -> None:
    """Write the signed distance to the nearest of several planes, positive behind all of them, clipped to [-1, 1].

    Args:
        planes: Their outward unit normals (x, y, z) and offsets, [plane, 4].
        centres: Of the cells, along z, y and x.
        out: Array [z, y, x], float16 or float32.
    """
    axes = (data_pointer(axis, np.float32) for axis in centres)
    call_kernel("hull", data_pointer(planes, np.float32), len(planes), *axes, *out.shape, _out(out), _is_half(out))


def order_statistics(values: Float, ranks: Sequence[int]) -> list[float]:
    """The numbers that stand at some places when all are in ascending order.

    Args:
        values: Of any shape; none is NaN.
        ranks: Ranks from 0, each below the number of values.

    Raises:
        MemoryError: There is too little.
    """
    wanted = np.array(ranks, np.int64)
    if len(wanted) and not 0 <= wanted.min() <= wanted.max() < values.size:
        raise ValueError(f"places {wanted.min()} to {wanted.max()} were asked for, of {values.size} numbers")
    result = np.empty(len(wanted), np.float32)
    arrays = data_pointer(wanted, np.int64), len(wanted), data_pointer(result, np.float32)
    if call_kernel("order", data_pointer(values, np.float32), values.size, *arrays) < 0:
        raise MemoryError
    return result.tolist()


def block_means(image: Array, factors: Index) -> Float:
    """The means of blocks of voxels, of which the last along an axis may be smaller.

    Integers are summed exactly, floating-point numbers in double precision; in one order in every block, however the
    image lies in memory.

    Args:
        image: Array [z, y, x] of real numbers. Of other types than the usual ones it is converted first: floats of half
            precision to single, all else to double.
        factors: Voxels per block along (z, y, x): powers of two.

    Raises:
        MemoryError: There is too little.
    """
    if image.dtype.str not in C_TYPES:
        image = image.astype(np.float32 if image.dtype.itemsize < 8 and image.dtype.kind == "f" else np.float64)
    elif image.dtype.itemsize < 4 and math.prod(map(min, factors, image.shape)) > _MOST_OF_16_BITS:
        image = image.astype(np.int32)
    result = np.empty([-(-n // f) for n, f in zip(image.shape, factors, strict=True)], np.float32)
    facts = [np.array(fact, np.int64) for fact in (image.strides, image.shape, factors)]
    places = [data_pointer(fact, np.int64) for fact in facts]
    if (
        call_kernel(f"reduce_{C_TYPES[image.dtype.str]}", image.ctypes.data, *places, data_pointer(result, np.float32))
        < 0
    ):
        raise MemoryError
    return result


def has_contiguous_rows(array: Array) -> bool:
    """Whether the numbers along the last axis of an array lie side by side; what :func:`resample` asks of it."""
    return array.shape[-1] == 1 or not array.size or array.strides[-1] == array.itemsize


def resample(array: Float, taps: TapArrays, *, axis: int) -> Float:
    """Resample one axis of an array: weighted sums of its samples.

    Args:
        array: [z, y, x]; a view, where it is contiguous along x.
        taps: For each new sample.
        axis: Which axis.

    Raises:
        MemoryError: There is too little.
    """
    if array.dtype != np.float32 or array.ndim != 3 or not has_contiguous_rows(array):
        raise ValueError(f"rows of float32 were expected, not {array.dtype} {array.strides}")
    result = np.empty((*array.shape[:axis], len(taps[0]), *array.shape[axis + 1 :]), np.float32)
    # As [block, line, the axis, row, inner]: what there is none of is 1 long.
    (z, y, x), (plane, row, _) = array.shape, (n // array.itemsize for n in array.strides)
    shape, strides = (
        ((1, 1, z, y, x), (0, 0, plane, row)),
        ((1, z, y, 1, x), (0, plane, row, 0)),
        ((z, y, x, 1, 1), (plane, row, 1, 0)),
    )[axis]
    facts = np.array(strides, np.int64), np.array(shape, np.int64)
    places = [data_pointer(fact, np.int64) for fact in facts]
    matrix = _matrix(taps, array.shape[axis])
    if call_kernel("resample", array.ctypes.data, places[0], data_pointer(result, np.float32), places[1], *matrix) < 0:
        raise MemoryError
    return result


def linear_taps(centres: Points, *, source_size: int, reach: float) -> TapArrays:
    """What a linear kernel of some reach makes samples at ``centres`` of; its weights sum to 1.

    Args:
        centres: In continuous index of the source, shape [n].
        source_size: Number of source samples; beyond the ends the nearest one repeats.
        reach: How far the kernel reaches, in source samples; at least 1.
    """
    shape = len(centres), math.ceil(2 * reach)
    cells, weights, used = np.empty(shape, np.int32), np.empty(shape, np.float32), np.zeros(shape[1], np.bool_)
    arrays = data_pointer(cells, np.int32), data_pointer(weights, np.float32), data_pointer(used, np.bool_)
    call_kernel("taps", data_pointer(centres, np.float64), shape[0], source_size, reach, shape[1], *arrays)
    if shape[0] and not used.all():
        cells, weights = np.ascontiguousarray(cells[:, used]), np.ascontiguousarray(weights[:, used])
    return cells, weights


def threshold_resampled(grid: Float, out: Bools, *, taps: Sequence[TapArrays], level: float) -> None:
    """Mark the voxels that reach a level, where a grid is resampled to them; the values are not kept.

    Args:
        grid: Array [z, y, x].
        out: Mask [z, y, x], False as yet.
        taps: For the voxels along z, y and x.
        level: In the grid's units.

    Raises:
        MemoryError: There is too little.
    """
    if out.shape != tuple(len(cells) for cells, _ in taps):
        raise ValueError(f"a mask of the taps' shape was expected, not {out.shape}")
    if out.size:
        matrices = [part for axis, n in zip(taps, grid.shape, strict=True) for part in _matrix(axis, n)]
        if (
            call_kernel(
                "cut", data_pointer(grid, np.float32), *grid.shape, *matrices, level, data_pointer(out, np.bool_)
            )
            < 0
        ):
            raise MemoryError


def connected_components(mask: Bools) -> tuple[Ints, int]:
    """The 26-connected components of a mask [z, y, x], numbered from 1 in the order of their first voxels; 0 beyond.

    Returns:
        Their numbers, int32 [z, y, x], and how many there are.

    Raises:
        MemoryError: There is too little.
    """
    labels = np.zeros(mask.shape, np.int32)
    count = call_kernel("components", data_pointer(mask, np.bool_), data_pointer(labels, np.int32), *mask.shape)
    if count < 0:
        raise MemoryError
    return labels, count


def select_by_label(one: Counts, other: Counts, *, labels: Ints, table: Bools) -> Counts:
    """One array where the table says so of a place's label, the other elsewhere.

    Args:
        one: uint8, of any shape.
        other: Of the same shape.
        labels: Likewise; of one beyond the table, the other.
        table: bool [label].
    """
    if not one.shape == other.shape == labels.shape:
        raise ValueError(f"arrays of one shape were expected, not {one.shape}, {other.shape} and {labels.shape}")
    result = np.empty(one.shape, np.uint8)
    arrays = data_pointer(one, np.uint8), data_pointer(other, np.uint8), data_pointer(result, np.uint8)
    call_kernel("choose", data_pointer(labels, np.int32), data_pointer(table, np.bool_), len(table), *arrays, one.size)
    return result


def difference_box(one: Bools, other: Bools, *, places: tuple[Index, Index]) -> tuple[Index, Index] | None:
    """The smallest box that holds all voxels in which two masks differ; beyond their arrays they are 0.

    Args:
        one: bool [z, y, x].
        other: bool [z, y, x].
        places: Index (z, y, x) of the first voxel of each.

    Returns:
        Its first voxel, and one past its last one, (z, y, x); None where they are the same.

    Raises:
        MemoryError: There is too little.
    """
    lower, upper = np.zeros(3, np.int64), np.zeros(3, np.int64)
    facts = [np.array(fact, np.int64) for fact in (one.shape, places[0], other.shape, places[1])]
    shape, first, other_shape, other_first = (data_pointer(fact, np.int64) for fact in facts)
    masks = data_pointer(one, np.bool_), data_pointer(other, np.bool_)
    ends = data_pointer(lower, np.int64), data_pointer(upper, np.int64)
    if call_kernel("difference", masks[0], shape, first, masks[1], other_shape, other_first, *ends) < 0:
        raise MemoryError
    if (upper <= lower).any():
        return None
    (a, b, c), (d, e, f) = lower.tolist(), upper.tolist()
    return (a, b, c), (d, e, f)


def _out(array: Array) -> int:
    return data_pointer(array, np.float16 if _is_half(array) else np.float32)


def _is_half(array: Array) -> bool:
    return array.dtype == np.float16


def _matrix(taps: TapArrays, n: int) -> tuple[int, int, int, int]:
    """Taps as C reads them; none may lie beyond the ``n`` samples that there are."""
    cells, weights = taps
    if cells.size and not 0 <= cells.min() <= cells.max() < n:
        raise ValueError(f"cells {cells.min()} to {cells.max()} were asked for, and there are {n}")
    return data_pointer(cells, np.int32), data_pointer(weights, np.float32), *cells.shape
