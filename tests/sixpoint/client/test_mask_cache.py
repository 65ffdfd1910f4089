"""The masks that a client has: whole ones, and what changes of them."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixpoint.client._mask_cache import CachedMask, apply_patch
from sixpoint.errors import InternalError
from sixpoint.mask import PackedMask, pack, pack_change
from tests.sixpoint.test_mask_change import SIZE, piece, random_mask

SHARES = st.sampled_from([0.0, 0.02, 0.5, 1.0])


def whole(mask: np.ndarray, *, revision: int = 1) -> CachedMask:
    return apply_patch(pack(mask, (0, 0, 0)), revision=revision, cached=None, size=SIZE)


@given(st.integers(0, 10_000), st.lists(SHARES, min_size=2, max_size=5))
def test_changes_one_after_the_other_make_every_mask(seed: int, shares: list[float]):
    rng = np.random.default_rng(seed)
    masks = [random_mask(seed + n, share=share) for n, share in enumerate(shares)]
    held = whole(masks[0])
    for revision, (before, after) in enumerate(itertools.pairwise(masks), 1):
        patch = pack_change(*piece(after, rng), before=(before, (0, 0, 0)), revision=revision)
        held = apply_patch(patch, revision=revision + 1, cached=held, size=SIZE)
        assert held.revision == revision + 1
        assert np.array_equal(held.to_array(SIZE), after)
        used = np.argwhere(after)
        extent = np.ptp(used, axis=0) + 1 if len(used) else (0,)
        assert held.voxels.size == np.prod(extent), "no larger than the object"


def test_what_a_user_writes_into_a_mask_is_not_the_next_ones():
    held = whole(random_mask(1, share=0.5))
    handed = held.to_array(SIZE)
    expected = handed.copy()
    handed[:] = 1
    assert np.array_equal(held.to_array(SIZE), expected)
    assert handed.dtype == np.uint8


def change() -> PackedMask:
    mask, before = random_mask(2, share=0.5), random_mask(1, share=0.5)
    return pack_change(mask, (0, 0, 0), before=(before, (0, 0, 0)), revision=1)


@pytest.mark.parametrize(
    ("patch", "held", "words"),
    [
        (change(), None, "which this client does not have"),
        (change(), whole(random_mask(1, share=0.5), revision=2), "which this client does not have"),
        (change(), whole(random_mask(3, share=0.5)), "but the answer announces"),
        (replace(pack(random_mask(1, share=0.5), (0, 0, 0)), voxel_count=7), None, "the answer announces 7"),
        (replace(change(), upper=(99, 99, 99)), whole(random_mask(1, share=0.5)), "does not fit the image"),
        (replace(change(), sha256=b"other"), whole(random_mask(1, share=0.5)), "damaged"),
    ],
    ids=["nothing here", "another revision", "another mask", "a wrong count", "beyond the image", "damaged"],
)
def test_what_does_not_fit_is_refused(patch: PackedMask, held: CachedMask | None, words: str):
    with pytest.raises(InternalError, match=words):
        apply_patch(patch, revision=3, cached=held, size=SIZE)


def test_nothing_changed_of_an_empty_mask():
    empty = np.zeros(SIZE[::-1], np.bool_)
    patch = pack_change(empty, (0, 0, 0), before=(empty, (0, 0, 0)), revision=1)
    held = apply_patch(patch, revision=2, cached=whole(empty), size=SIZE)
    assert not held.to_array(SIZE).any()
