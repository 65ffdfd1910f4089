"""Voxels of scribbles and lassos as runs: exact, small, and bounded whatever arrives."""

from __future__ import annotations

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from sixpoint.errors import PromptError
from sixpoint.prompts.voxel_runs import MAX_RUNS, MAX_VOXELS, VoxelRuns

SIZE = (40, 36, 32)
VOXELS = st.lists(st.tuples(st.integers(0, 39), st.integers(0, 35), st.integers(0, 31)), min_size=1, max_size=60)


def runs_of(*runs: tuple[int, int, int, int], count: int | None = None) -> VoxelRuns:
    data = zstandard.ZstdCompressor().compress(np.array(runs, "<u4").tobytes())
    return VoxelRuns(data, sum(run[3] for run in runs) if count is None else count)


@given(VOXELS)
def test_any_voxels_come_back_once_each_and_in_order(voxels: list[tuple[int, int, int]]) -> None:
    packed = VoxelRuns.of(np.array(voxels))
    back = packed.voxels(SIZE)
    assert [tuple(v) for v in back.tolist()] == sorted(set(voxels), key=lambda v: v[::-1])
    assert packed.voxel_count == len(set(voxels))


def test_a_filled_slice_takes_few_bytes() -> None:
    filled = np.zeros((1, 512, 512), np.bool_)
    filled[0, 100:400, 100:400] = True
    packed = VoxelRuns.of_mask(filled)
    assert packed.voxel_count == 300 * 300
    assert len(packed.data) < 1500


def test_runs_may_overlap_and_come_in_any_order() -> None:
    assert runs_of((5, 2, 1, 3), (4, 2, 1, 2), (0, 0, 0, 1)).voxels(SIZE).tolist() == [
        [0, 0, 0],
        *([x, 2, 1] for x in (4, 5, 6, 7)),
    ]


@pytest.mark.parametrize(
    ("runs", "words"),
    [
        (runs_of((38, 0, 0, 3)), r"voxel \(40, 0, 0\) lies outside the image"),
        (runs_of((0, 36, 0, 1)), "outside the image"),
        (runs_of((2**32 - 1, 0, 0, 2**20)), "outside the image"),
        (runs_of((0, 0, 0, 4), count=5), "hold 4 voxels, and 5 are stated"),
        (runs_of((0, 0, 0, 0), (1, 0, 0, 2), count=2), "are stated"),
        (runs_of((0, 0, 0, 2**32 - 1), count=7), "are stated"),
        (runs_of((0, 0, 0, 1), count=0), "no voxels"),
        (runs_of((0, 0, 0, 1), count=MAX_VOXELS + 1), "is the limit"),
        (runs_of(*[(0, 0, 0, 1)] * (MAX_RUNS + 1)), "runs of 16 bytes"),
        (VoxelRuns(b"", 1), "arrived damaged"),
        (VoxelRuns(b"not zstd at all, but long enough", 1), "arrived damaged"),
        (VoxelRuns(zstandard.ZstdCompressor().compress(b"123"), 1), "runs of 16 bytes"),
        (VoxelRuns(zstandard.ZstdCompressor().compress(bytes(16))[:-3], 1), "do not decompress"),
        (VoxelRuns(zstandard.ZstdCompressor(write_content_size=False).compress(bytes(16)), 1), "states the bytes"),
    ],
)
def test_what_is_damaged_or_too_large_is_refused(runs: VoxelRuns, words: str) -> None:
    with pytest.raises(PromptError, match=words):
        runs.voxels(SIZE)


def test_too_many_separate_voxels_are_refused() -> None:
    spread = np.argwhere(np.ones((52, 52, 52), np.bool_))[:, ::-1] * 2
    with pytest.raises(PromptError, match="runs along x, and 65536 is the limit; give a mask"):
        VoxelRuns.of(spread)
