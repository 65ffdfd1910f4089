from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixpoint.preprocessing import BlockMeans, block_means
from tests.sixpoint.geometries import AXIS_ORDERS

FACTORS = st.tuples(*[st.sampled_from((1, 2, 4, 8))] * 3)


def means(image: npt.NDArray[Any], factors: tuple[int, int, int]) -> npt.NDArray[np.float64]:
    """The means of blocks, one by one."""
    fx, fy, fz = factors
    z, y, x = (range(0, n, f) for n, f in zip(image.shape, (fz, fy, fx), strict=True))
    whole = image.astype(np.float64)
    return np.array([[[whole[k : k + fz, j : j + fy, i : i + fx].mean() for i in x] for j in y] for k in z])


@given(
    FACTORS,
    st.sampled_from(
        ["bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", ">i2", "float16", "float32", "float64"]
    ),
)
def test_every_sample_is_the_mean_of_its_block_or_of_what_there_is_of_it(
    factors: tuple[int, int, int], dtype: str
) -> None:
    image = np.random.default_rng(0).integers(0, 2 if dtype == "bool" else 120, (7, 10, 13)).astype(dtype)
    reduced = block_means(image, factors)
    assert reduced.dtype == np.float32
    np.testing.assert_allclose(reduced, means(image, factors), rtol=1e-6)


@pytest.mark.parametrize("dtype", ["int8", "int16", "uint16", "int32", "uint32"])
@pytest.mark.parametrize("end", ["min", "max"])
@pytest.mark.parametrize("edge", [32, 64])
def test_no_sum_overflows(dtype: str, end: str, edge: int) -> None:
    value = getattr(np.iinfo(dtype), end)
    image = np.full((edge + 1, 2 * edge, edge), value, dtype)
    assert np.unique(block_means(image, (edge, edge, edge))).tolist() == [np.float32(value)]


def test_the_largest_floating_point_voxels_do_not_overflow() -> None:
    most = np.finfo(np.float32).max
    assert np.unique(block_means(np.full((4, 4, 5), most), (4, 4, 4))).tolist() == [most]


@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_however_the_image_lies_in_memory_the_result_is_the_same(dtype: str) -> None:
    image = (np.random.default_rng(0).normal(size=(11, 14, 9)) * 1000).astype(dtype)
    expected = block_means(image, (2, 4, 8))
    for axes, flips in AXIS_ORDERS:
        stored = np.ascontiguousarray(np.flip(image.transpose(axes), tuple(axis for axis in range(3) if flips[axis])))
        back = np.flip(stored, tuple(axis for axis in range(3) if flips[axis])).transpose(np.argsort(axes))
        assert np.array_equal(back, image)
        assert np.array_equal(block_means(back, (2, 4, 8)), expected)


def test_large_images_are_reduced_piece_by_piece_to_the_same() -> None:
    image = np.random.default_rng(0).integers(-1000, 1000, (67, 130, 129)).astype(np.int16)
    np.testing.assert_allclose(block_means(image, (4, 2, 4))[-1], means(image[64:], (4, 2, 4))[0], rtol=0, atol=1e-4)
    assert np.array_equal(
        block_means(image.transpose(2, 1, 0), (4, 2, 4)), block_means(image, (4, 2, 4)).transpose(2, 1, 0)
    )


def test_a_window_is_that_part_of_the_whole() -> None:
    image = np.random.default_rng(0).integers(-1000, 1000, (17, 18, 19)).astype(np.int16)
    whole, part = block_means(image, (4, 2, 1)), BlockMeans(image, (4, 2, 1))
    assert part.shape == whole.shape == (17, 9, 5)
    window = (slice(3, 17), slice(2, 9), slice(1, 5))
    assert np.array_equal(part[window], whole[window])
