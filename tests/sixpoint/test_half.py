from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixpoint.half import to_half


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
