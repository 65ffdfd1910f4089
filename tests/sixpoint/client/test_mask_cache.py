"""The cache of masks: whole masks, and changes applied to them."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixpoint._typing import Bools
from sixpoint.client._mask_cache import CachedMask, apply_patch
from sixpoint.errors import InternalError
from sixpoint.mask import PackedMask, pack, pack_change
from tests.sixpoint.random_masks import SIZE, piece, random_mask

SHARES = st.sampled_from([0.0, 0.02, 0.5, 1.0])


def cached_whole(mask: Bools, *, revision: int = 1) -> CachedMask:
    return apply_patch(pack(mask, (0, 0, 0)), revision=revision, cached=None, size=SIZE)


@given(st.integers(0, 10_000), st.lists(SHARES, min_size=2, max_size=5))
def test_successive_changes_give_every_mask(seed: int, shares: list[float]) -> None:
    rng = np.random.default_rng(seed)
    masks = [random_mask(seed + n, share=share) for n, share in enumerate(shares)]
    cached = cached_whole(masks[0])
    for revision, (before, after) in enumerate(itertools.pairwise(masks), 1):
        patch = pack_change(*piece(after, rng), before=(before, (0, 0, 0)), revision=revision)
        cached = apply_patch(patch, revision=revision + 1, cached=cached, size=SIZE)
        assert cached.revision == revision + 1
        assert np.array_equal(cached.to_array(SIZE), after)
        voxels = np.argwhere(after)
        extent = np.ptp(voxels, axis=0) + 1 if len(voxels) else (0,)
        assert cached.voxels.size == np.prod(extent), "the box is no larger than the object"


def test_writing_into_an_array_does_not_change_the_cached_mask() -> None:
    cached = cached_whole(random_mask(1, share=0.5))
    array = cached.to_array(SIZE)
    expected = array.copy()
    array[:] = 1
    assert np.array_equal(cached.to_array(SIZE), expected)
    assert array.dtype == np.uint8


def change() -> PackedMask:
    mask, before = random_mask(2, share=0.5), random_mask(1, share=0.5)
    return pack_change(mask, (0, 0, 0), before=(before, (0, 0, 0)), revision=1)


@pytest.mark.parametrize(
    ("patch", "cached", "message"),
    [
        (change(), None, "which this client does not have"),
        (change(), cached_whole(random_mask(1, share=0.5), revision=2), "which this client does not have"),
        (change(), cached_whole(random_mask(3, share=0.5)), "but the answer announces"),
        (replace(pack(random_mask(1, share=0.5), (0, 0, 0)), voxel_count=7), None, "the answer announces 7"),
        (replace(change(), upper=(99, 99, 99)), cached_whole(random_mask(1, share=0.5)), "exceeds the image"),
        (replace(change(), sha256=b"other"), cached_whole(random_mask(1, share=0.5)), "damaged"),
    ],
    ids=["no mask", "another revision", "another mask", "a wrong count", "outside the image", "damaged"],
)
def test_patches_that_do_not_fit_are_refused(patch: PackedMask, cached: CachedMask | None, message: str) -> None:
    with pytest.raises(InternalError, match=message):
        apply_patch(patch, revision=3, cached=cached, size=SIZE)


def test_an_empty_mask_may_change_by_nothing() -> None:
    empty = np.zeros(SIZE[::-1], np.bool_)
    patch = pack_change(empty, (0, 0, 0), before=(empty, (0, 0, 0)), revision=1)
    cached = apply_patch(patch, revision=2, cached=cached_whole(empty), size=SIZE)
    assert not cached.to_array(SIZE).any()
