from __future__ import annotations

import importlib.util
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st

from sixpoint.errors import FailedPrecondition
from sixpoint.preprocessing import _native, kernels
from sixpoint.preprocessing._native import load_library, require_kernels
from sixpoint.preprocessing.kernels import (
    connected_components,
    difference_box,
    order_statistics,
    select_by_label,
    to_half,
)


def converted(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float16]:
    out = np.full(values.shape, np.nan, np.float16)
    to_half(values, out)
    return out


@pytest.mark.parametrize("size", [(0, 3), (3, 4, 5), (41, 40, 50)])
def test_numbers_are_rounded_to_the_nearest(size: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).uniform(-1, 1, size).astype(np.float32)
    values[np.abs(values) < 2**-14] = 0
    expected, found = values.astype(np.float16), converted(values)
    differ = found != expected
    # Only where two are as near.
    assert np.array_equal(np.abs(found - values)[differ], np.abs(expected - values)[differ])
    assert np.count_nonzero(differ) <= values.size / 1000


@given(st.integers(-(2**11), 2**11).map(lambda n: n / 2**11))
def test_numbers_that_have_a_half_precision_one_become_it(value: float) -> None:
    assert converted(np.array([value], np.float32))[0] == value


@pytest.mark.parametrize("value", [0.0, -0.0, 1.0, -1.0, 2.0**-14, -(2.0**-14), 0.99999, 1 / 255])
def test_ends_and_counts(value: float) -> None:
    assert converted(np.array([value], np.float32))[0] == np.float16(value)


@given(st.floats(-(2**-14), 2**-14, exclude_min=True, exclude_max=True, width=32))
def test_what_would_be_subnormal_comes_out_smaller_but_close(value: float) -> None:
    found = float(converted(np.array([value], np.float32))[0])
    assert abs(found - value) <= 2**-15
    assert abs(found) <= abs(value) * (1 + 2**-9)


@given(st.integers(0, 10_000), st.tuples(*[st.integers(1, 9)] * 3), st.sampled_from([0.0, 0.05, 0.2, 0.5, 1.0]))
def test_components_are_itks(seed: int, shape: tuple[int, int, int], share: float) -> None:
    mask = np.random.default_rng(seed).random(shape) < share
    labels, count = connected_components(mask)
    expected = sitk.GetArrayFromImage(sitk.ConnectedComponent(sitk.GetImageFromArray(mask.astype(np.uint8)), True))
    assert count == expected.max()
    # Numbered in another order, perhaps: each of the one lies on one of the other.
    pairs = set(zip(labels.reshape(-1).tolist(), expected.reshape(-1).tolist(), strict=True))
    assert len(pairs) == len(np.unique(labels)) == len(np.unique(expected))


def test_components_are_numbered_by_their_first_voxels() -> None:
    mask = np.zeros((3, 4, 5), np.bool_)
    mask[0, 0, 4] = mask[0, 3, 0] = mask[1, 1, 1] = mask[2, 0, 0] = True
    labels, count = connected_components(mask)
    assert (count, labels[0, 0, 4], labels[0, 3, 0], labels[1, 1, 1], labels[2, 0, 0]) == (3, 1, 2, 3, 3)


@given(st.integers(0, 10_000), st.sampled_from([0.02, 0.5]))
def test_the_difference_of_two_masks_is_the_box_of_the_voxels_that_differ(seed: int, share: float) -> None:
    random = np.random.default_rng(seed)
    size = 7
    whole, pieces, places = [], [], []
    for _ in range(2):
        low = random.integers(0, size - 1, 3)
        high = [int(random.integers(a + 1, size + 1)) for a in low]
        window = tuple(slice(int(a), b) for a, b in zip(low, high, strict=True))
        mask = np.zeros((size,) * 3, np.bool_)
        mask[window] = random.random(mask[window].shape) < share
        whole.append(mask)
        pieces.append(np.ascontiguousarray(mask[window]))
        places.append((int(low[0]), int(low[1]), int(low[2])))
    differing = np.argwhere(whole[0] != whole[1])
    found = difference_box(pieces[0], pieces[1], places=(places[0], places[1]))
    assert found == ((tuple(differing.min(axis=0)), tuple(differing.max(axis=0) + 1)) if len(differing) else None)


@pytest.mark.parametrize(
    "array", [np.zeros((4, 4)), np.zeros((4, 4), np.float32).T[1:], np.zeros((4, 4), np.float32)[:, ::2]]
)
def test_arrays_that_c_would_misread_are_refused(array: npt.NDArray[Any]) -> None:
    with pytest.raises(ValueError, match="a contiguous array of float32 was expected"):
        to_half(array, np.empty(array.shape, np.float16))


def test_no_cell_beyond_the_array_is_read() -> None:
    taps = np.array([[0, 4]], np.int32), np.ones((1, 2), np.float32)
    with pytest.raises(ValueError, match="cells 0 to 4 were asked for, and there are 4"):
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
    with pytest.raises(ValueError, match="rows of float32 were expected"):
        kernels.resample(array, taps, axis=1)


@given(
    st.lists(st.floats(width=32, allow_nan=False) | st.integers(-3, 3).map(float), min_size=1, max_size=50), st.data()
)
def test_what_stands_at_a_place_is_what_sorting_puts_there(values: list[float], data: st.DataObject) -> None:
    places = data.draw(st.lists(st.integers(0, len(values) - 1), max_size=5))
    given_ = np.array(values, np.float32)
    assert order_statistics(given_, places) == np.sort(given_)[places].tolist()


@pytest.mark.parametrize("place", [-1, 3])
def test_there_is_no_place_beyond_the_numbers(place: int) -> None:
    with pytest.raises(ValueError, match="were asked for, of 3 numbers"):
        order_statistics(np.zeros(3, np.float32), [0, place])


@given(st.integers(0, 10_000))
def test_one_array_or_the_other_by_label(seed: int) -> None:
    random = np.random.default_rng(seed)
    one, other = random.integers(0, 256, (2, 3, 4, 5)).astype(np.uint8)
    labels, table = random.integers(0, 4, one.shape).astype(np.int32), random.random(4) < 0.5
    assert np.array_equal(select_by_label(one, other, labels=labels, table=table), np.where(table[labels], one, other))


def test_of_a_label_beyond_the_table_the_other_is_taken() -> None:
    one, other = np.full(3, 1, np.uint8), np.full(3, 2, np.uint8)
    labels = np.array([-1, 0, 1], np.int32)
    assert select_by_label(one, other, labels=labels, table=np.ones(1, np.bool_)).tolist() == [2, 1, 2]


def test_arrays_of_other_shapes_are_not_chosen_from() -> None:
    with pytest.raises(ValueError, match="arrays of one shape were expected"):
        select_by_label(
            np.zeros(3, np.uint8), np.zeros(2, np.uint8), labels=np.zeros(3, np.int32), table=np.ones(1, np.bool_)
        )


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
    with pytest.raises(FailedPrecondition, match="of another version than the rest of it: install sixpoint again"):
        require_kernels()
    load_library.cache_clear()


def test_the_client_does_without_the_compiled_part() -> None:
    code = "import sys, sixpoint.client, sixpoint.cli; sys.exit('sixpoint.preprocessing._native' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
