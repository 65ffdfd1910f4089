"""Connected components, and the selection of cells by component."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st

from sixpoint.preprocessing import connected_components, select_by_label


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


@given(st.integers(0, 10_000))
def test_one_array_or_the_other_by_label(seed: int) -> None:
    random = np.random.default_rng(seed)
    one, other = random.integers(0, 256, (2, 3, 4, 5)).astype(np.uint8)
    labels, table = random.integers(0, 4, one.shape).astype(np.int32), random.random(4) < 0.5
    assert np.array_equal(select_by_label(one, other, labels=labels, table=table), np.where(table[labels], one, other))


def test_a_label_beyond_the_table_is_refused() -> None:
    with pytest.raises(ValueError, match="labels -1 to 1 exceed the table of 1"):
        select_by_label(
            np.full(3, 1, np.uint8),
            np.full(3, 2, np.uint8),
            labels=np.array([-1, 0, 1], np.int32),
            table=np.ones(1, np.bool_),
        )


def test_arrays_of_other_shapes_are_not_chosen_from() -> None:
    with pytest.raises(ValueError, match="expected arrays of one shape"):
        select_by_label(
            np.zeros(3, np.uint8), np.zeros(2, np.uint8), labels=np.zeros(3, np.int32), table=np.ones(1, np.bool_)
        )
