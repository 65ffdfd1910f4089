from __future__ import annotations

import importlib.util
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixpoint.errors import FailedPrecondition
from sixpoint.preprocessing import _native, kernels
from sixpoint.preprocessing._native import load_library, require_kernels
from sixpoint.preprocessing.kernels import connected_components, to_half


def converted(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float16]:
    out = np.full(values.shape, np.nan, np.float16)
    to_half(values, out)
    return out


def check_against_numpy(values: npt.NDArray[np.float32]) -> None:
    with np.errstate(over="ignore"):
        expected = values.astype(np.float16)
    found = converted(values)
    assert np.array_equal(np.isnan(found), np.isnan(expected))
    number = ~np.isnan(expected)
    assert np.array_equal(found.view(np.uint16)[number], expected.view(np.uint16)[number])


# Whole vectors of numbers, and fewer than a vector has, which other code converts.
@pytest.mark.parametrize("length", [2**16, 7])
def test_every_half_precision_number_converts_to_itself(length: int) -> None:
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16).astype(np.float32)
    with np.errstate(invalid="ignore"):
        middles = (halves[:-1] + halves[1:]) / 2  # ties: to the even neighbour
    numbers = np.concatenate([halves, middles, np.nextafter(middles, 0), np.nextafter(middles, np.float32(np.inf))])
    for first in range(0, len(numbers), length):
        check_against_numpy(numbers[first : first + length])


@pytest.mark.parametrize("size", [(0, 3), (3, 4, 5), (41, 40, 50)])
def test_random_numbers_convert_as_in_numpy(size: tuple[int, ...]) -> None:
    random = np.random.default_rng(0)
    check_against_numpy(random.uniform(-1, 1, size).astype(np.float32))
    check_against_numpy((random.uniform(-1, 1, size) * 2.0 ** random.integers(-30, 18, size)).astype(np.float32))
    bits = random.integers(0, 2**32, size, dtype=np.uint32)
    check_against_numpy(bits.view(np.float32))


@given(st.floats(width=32))
def test_any_number_converts_as_in_numpy(value: float) -> None:
    check_against_numpy(np.array([value], np.float32))


@pytest.mark.parametrize(
    "array", [np.zeros((4, 4)), np.zeros((4, 4), np.float32).T[1:], np.zeros((4, 4), np.float32)[:, ::2]]
)
def test_arrays_that_c_would_misread_are_refused(array: npt.NDArray[Any]) -> None:
    with pytest.raises(ValueError, match="expected a contiguous array of float32"):
        to_half(array, np.empty(array.shape, np.float16))


def test_no_cell_beyond_the_array_is_read() -> None:
    taps = np.array([[0, 4]], np.int32), np.ones((1, 2), np.float32)
    with pytest.raises(ValueError, match="cells 0 to 4 exceed the array's 4 samples"):
        kernels.resample(np.zeros((1, 1, 4), np.float32), taps, axis=2)


@given(
    st.integers(0, 10_000),
    st.sampled_from([0, 1, 2]),
    st.tuples(*[st.integers(1, 5)] * 3),
    st.tuples(*[st.booleans()] * 2),
)
def test_a_view_is_resampled_as_its_copy(
    seed: int, axis: int, shape: tuple[int, int, int], flips: tuple[bool, bool]
) -> None:
    random = np.random.default_rng(seed)
    large = random.random((7, 7, 7)).astype(np.float32)
    z, y, x = (slice(1, 1 + n) for n in shape)
    view = large[:: -1 if flips[0] else 1, :: -1 if flips[1] else 1][z, y, x]
    cells = random.integers(0, shape[axis], (4, 2)).astype(np.int32)
    weights = random.random((4, 2)).astype(np.float32)
    found = kernels.resample(view, (cells, weights), axis=axis)
    assert np.array_equal(found, kernels.resample(np.ascontiguousarray(view), (cells, weights), axis=axis))
    expected = sum(
        np.take(view, cells[:, tap], axis=axis) * np.expand_dims(weights[:, tap], tuple({0, 1, 2} - {axis}))
        for tap in range(2)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize(
    "array", [np.zeros((2, 3, 4)), np.zeros((2, 3, 4), np.float32)[:, :, ::2], np.zeros((3, 4), "f4")]
)
def test_rows_that_are_not_of_float32_are_refused(array: npt.NDArray[Any]) -> None:
    taps = np.zeros((1, 1), np.int32), np.ones((1, 1), np.float32)
    with pytest.raises(ValueError, match="expected a 3D float32 array with contiguous rows"):
        kernels.resample(array, taps, axis=1)


@pytest.mark.parametrize("found", [None, SimpleNamespace(origin=None)], ids=["nothing", "a folder"])
def test_without_the_compiled_part_is_said_what_to_install(found: object, monkeypatch: pytest.MonkeyPatch) -> None:
    load_library.cache_clear()
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: found)
    for call in (require_kernels, lambda: connected_components(np.zeros((1, 1, 1), np.bool_))):
        with pytest.raises(FailedPrecondition, match="install a C compiler"):
            call()


def test_a_compiled_part_of_another_version_is_said_to_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after new sources came, and nothing was installed anew."""
    load_library.cache_clear()
    monkeypatch.setattr(_native, "_SIGNATURES", {**_native._SIGNATURES, "of_tomorrow": (None, [])})
    with pytest.raises(FailedPrecondition, match="belong to another version of sixpoint: install sixpoint again"):
        require_kernels()
    load_library.cache_clear()


def test_the_client_does_without_the_compiled_part() -> None:
    code = "import sys, sixpoint.client, sixpoint.cli; sys.exit('sixpoint.preprocessing._native' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_compiled_kernels_are_an_importable_module() -> None:
    assert importlib.import_module("sixpoint.preprocessing._kernels").__name__ == "sixpoint.preprocessing._kernels"


@pytest.mark.parametrize(
    "call",
    [
        lambda: to_half(np.zeros((2, 3), np.float32), np.empty((2, 2), np.float16)),
        lambda: kernels.apply_window(np.zeros(3, np.float32), np.empty(2, np.float32), centre=0.0, scale=1.0),
        lambda: kernels.heatmap([np.zeros((1, 2), np.float32)] * 3, np.empty((2, 2, 3), np.float32), floor=0.0),
        lambda: kernels.ellipsoid([np.zeros(2, np.float32)] * 3, np.empty((2, 2, 3), np.float32)),
        lambda: kernels.hull(np.zeros((1, 3), np.float32), [np.zeros(2, np.float32)] * 3, np.empty((2, 2, 2), "f4")),
        lambda: kernels.block_means(np.zeros((2, 2, 2), np.float32), (1, 3, 1)),
        lambda: kernels.linear_taps(np.array([np.nan]), source_size=3, reach=1.0),
        lambda: kernels.connected_components(np.zeros((2, 2), np.bool_)),
    ],
    ids=["to_half", "apply_window", "heatmap", "ellipsoid", "hull", "block_means", "linear_taps", "components"],
)
def test_arguments_that_do_not_fit_each_other_are_refused(call: Any) -> None:
    with pytest.raises(ValueError, match="expected"):
        call()
