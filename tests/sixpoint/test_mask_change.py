"""What changed of a mask: the box in which two masks differ, with the new one's voxels."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sixpoint.mask import PackedMask, pack, pack_change, unpack

SIZE = (13, 11, 9)
Array = np.ndarray


def random_mask(seed: int, *, share: float) -> Array:
    rng = np.random.default_rng(seed)
    mask = np.zeros(SIZE[::-1], np.bool_)
    low = [int(rng.integers(0, n - 1)) for n in mask.shape]
    high = [int(rng.integers(a + 1, n + 1)) for a, n in zip(low, mask.shape, strict=True)]
    window = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    mask[window] = rng.random(mask[window].shape) < share
    return mask


def piece(mask: Array, rng: np.random.Generator) -> tuple[Array, tuple[int, int, int]]:
    """A window of a mask that holds all of it, and its offset (x, y, z)."""
    used = np.argwhere(mask)
    low = [int(rng.integers(0, n + 1)) for n in (used.min(0) if len(used) else (0, 0, 0))]
    high = [
        int(rng.integers(a, n + 1))
        for a, n in zip((used.max(0) + 1) if len(used) else (1, 1, 1), mask.shape, strict=True)
    ]
    return mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))], (low[2], low[1], low[0])


def applied(before: Array, change: PackedMask) -> Array:
    """What a client makes of a change."""
    after = before.copy()
    (x0, y0, z0), (x1, y1, z1) = change.lower, change.upper
    after[z0:z1, y0:y1, x0:x1] = unpack(change, SIZE)[z0:z1, y0:y1, x0:x1]
    return after


@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.05, 0.5, 1.0]), st.sampled_from([0.0, 0.05, 0.5, 1.0]))
def test_the_change_makes_the_new_mask_of_the_old_one(seed: int, share: float, other: float):
    rng = np.random.default_rng(seed)
    before, after = random_mask(seed, share=share), random_mask(seed + 1, share=other)
    change = pack_change(*piece(after, rng), before=piece(before, rng), revision=7)
    assert np.array_equal(applied(before, change), after)
    assert (change.base_revision, change.voxel_count) == (7, np.count_nonzero(after))
    differing = np.argwhere(before != after)
    if len(differing):
        assert change.lower == tuple(differing.min(0)[::-1])
        assert change.upper == tuple(differing.max(0)[::-1] + 1)
    else:
        assert change.lower == change.upper


def test_of_a_large_mask_that_changed_for_the_larger_part_all_is_packed():
    before = np.ones((64, 64, 64), np.bool_)
    for slices, whole in ((20, False), (40, True)):
        after = before.copy()
        after[:slices] = False
        change = pack_change(after, (3, 4, 5), before=(before, (3, 4, 5)), revision=7)
        assert (change == pack(after, (3, 4, 5))) is whole
        assert (change.base_revision == 0) is whole
        assert change.voxel_count == np.count_nonzero(after)
