"""What changed of a mask: the box in which two masks differ, with the new one's voxels."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sixpoint._typing import Bools
from sixpoint.mask import PackedMask, pack, pack_change, unpack
from tests.sixpoint.random_masks import SIZE, piece, random_mask


def applied(before: Bools, change: PackedMask) -> Bools:
    """What a client makes of a change."""
    after = before.copy()
    (x0, y0, z0), (x1, y1, z1) = change.lower, change.upper
    after[z0:z1, y0:y1, x0:x1] = unpack(change, SIZE)[z0:z1, y0:y1, x0:x1]
    return after


@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.05, 0.5, 1.0]), st.sampled_from([0.0, 0.05, 0.5, 1.0]))
def test_the_change_makes_the_new_mask_of_the_old_one(seed: int, share: float, other: float) -> None:
    rng = np.random.default_rng(seed)
    before, after = random_mask(seed, share=share), random_mask(seed + 1, share=other)
    change = pack_change(*piece(after, rng), before=piece(before, rng), revision=7)
    assert np.array_equal(applied(before, change), after)
    assert (change.base_revision, change.voxel_count) == (7, int(np.count_nonzero(after)))
    differing = np.argwhere(before != after)
    if len(differing):
        assert change.lower == tuple(differing.min(0)[::-1].tolist())
        assert change.upper == tuple((differing.max(0)[::-1] + 1).tolist())
    else:
        assert change.lower == change.upper


def test_of_a_large_mask_that_changed_for_the_larger_part_all_is_packed() -> None:
    before = np.ones((64, 64, 64), np.bool_)
    for slices, whole in ((20, False), (40, True)):
        after = before.copy()
        after[:slices] = False
        change = pack_change(after, (3, 4, 5), before=(before, (3, 4, 5)), revision=7)
        assert (change == pack(after, (3, 4, 5))) is whole
        assert (change.base_revision == 0) is whole
        assert change.voxel_count == np.count_nonzero(after)
