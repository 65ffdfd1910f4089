"""Reductions of an image, cached where they were read."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import sixpoint.preprocessing.block_mean
from gateway.core.images.reductions import CachedReduction, Reductions
from sixpoint.preprocessing import BlockMeans, Window, block_means

IMAGE = np.random.default_rng(0).integers(-1000, 1000, (90, 140, 150)).astype(np.int16)
WINDOW = (slice(3, 40), slice(0, 70), slice(5, 75))


def whole_window(reduced: BlockMeans) -> Window:
    """The window of all samples."""
    z, y, x = reduced.shape
    return slice(0, z), slice(0, y), slice(0, x)


def computed_bytes(reduced: BlockMeans) -> int:
    """Bytes of the samples that were computed."""
    assert isinstance(reduced, CachedReduction)
    return reduced.nbytes


@pytest.mark.parametrize("factors", [(1, 1, 1), (2, 1, 1), (2, 2, 2), (1, 4, 2)])
def test_a_window_is_a_part_of_the_reduced_image(factors: tuple[int, int, int]) -> None:
    reduced = Reductions(IMAGE)(factors)
    whole = block_means(IMAGE, factors)
    assert reduced.shape == whole.shape
    z, y, x = (slice(part.start, min(part.stop, n)) for part, n in zip(WINDOW, whole.shape, strict=True))
    window = (z, y, x)
    assert np.array_equal(reduced[window], whole[window])
    assert np.array_equal(reduced[whole_window(reduced)], whole)


def test_samples_are_computed_once() -> None:
    voxels = IMAGE.copy()
    reductions = Reductions(voxels)
    before = reductions((2, 2, 2))[WINDOW].copy()
    voxels[...] = 0
    assert np.array_equal(reductions((2, 2, 2))[WINDOW], before)


def test_the_reductions_used_last_are_cached_in_the_memory_of_int16_voxels() -> None:
    reductions = Reductions(IMAGE)
    sizes = [(2, 2, 1), (2, 1, 2), (1, 2, 2), (4, 4, 4), (8, 2, 2), (4, 1, 1)]
    for factors in sizes:
        reduced = reductions(factors)
        reduced[whole_window(reduced)]
        assert reductions(factors) is reduced
        assert 0 < reductions.nbytes <= 2 * IMAGE.size
    assert computed_bytes(reductions((4, 4, 4)))
    assert not computed_bytes(reductions((2, 2, 1)))


def test_many_reductions_are_cached_if_few_of_their_samples_were_read() -> None:
    reductions = Reductions(IMAGE)
    sizes = [(2, 2, 1), (2, 1, 2), (1, 2, 2), (2, 2, 2), (4, 2, 2), (2, 4, 2), (2, 2, 4), (4, 4, 2), (4, 2, 4)]
    for factors in sizes:
        reductions(factors)[(slice(0, 20),) * 3]
    assert all(computed_bytes(reductions(factors)) for factors in sizes)


def test_threads_that_read_the_same_samples_compute_them_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    barrier = threading.Barrier(4)

    def counted(image: np.ndarray, factors: tuple[int, int, int]) -> np.ndarray:
        calls.append(image.shape)
        return block_means(image, factors)

    monkeypatch.setattr(sixpoint.preprocessing.block_mean, "block_means", counted)
    reductions = Reductions(IMAGE)

    def read(_: int) -> np.ndarray:
        barrier.wait(10)
        return reductions((2, 2, 2))[(slice(0, 32),) * 3]

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(read, range(4)))
    assert len(calls) == 1
    assert all(np.array_equal(result, results[0]) for result in results)
