import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import sixpoint.preprocessing.block_mean
from gateway.core.images.reductions import Reductions
from sixpoint.preprocessing import block_means

IMAGE = np.random.default_rng(0).integers(-1000, 1000, (90, 140, 150)).astype(np.int16)
WINDOW = (slice(3, 40), slice(0, 70), slice(5, 75))


@pytest.mark.parametrize("factors", [(1, 1, 1), (2, 1, 1), (2, 2, 2), (1, 4, 2)])
def test_a_window_is_that_part_of_the_reduced_image(factors: tuple[int, int, int]):
    reduced = Reductions(IMAGE)(factors)
    whole = block_means(IMAGE, factors)
    assert reduced.shape == whole.shape
    window = tuple(slice(part.start, min(part.stop, n)) for part, n in zip(WINDOW, whole.shape, strict=True))
    assert np.array_equal(reduced[window], whole[window])
    assert np.array_equal(reduced[tuple(slice(0, n) for n in whole.shape)], whole)


def test_what_was_read_is_not_computed_again():
    voxels = IMAGE.copy()
    reductions = Reductions(voxels)
    before = reductions((2, 2, 2))[WINDOW].copy()
    voxels[...] = 0
    assert np.array_equal(reductions((2, 2, 2))[WINDOW], before)


def test_those_that_were_used_last_are_kept_in_no_more_memory_than_int16_voxels_take():
    reductions = Reductions(IMAGE)
    sizes = [(2, 2, 1), (2, 1, 2), (1, 2, 2), (4, 4, 4), (8, 2, 2), (4, 1, 1)]
    for factors in sizes:
        reduced = reductions(factors)
        reduced[tuple(slice(0, n) for n in reduced.shape)]
        assert reductions(factors) is reduced
        assert 0 < reductions.nbytes <= 2 * IMAGE.size
    assert reductions((4, 4, 4)).nbytes
    assert not reductions((2, 2, 1)).nbytes


def test_of_small_windows_any_number_of_sizes_is_kept():
    reductions = Reductions(IMAGE)
    sizes = [(2, 2, 1), (2, 1, 2), (1, 2, 2), (2, 2, 2), (4, 2, 2), (2, 4, 2), (2, 2, 4), (4, 4, 2), (4, 2, 4)]
    for factors in sizes:
        reductions(factors)[(slice(0, 20),) * 3]
    assert all(reductions(factors).nbytes for factors in sizes)


def test_threads_that_want_the_same_samples_make_them_once(monkeypatch: pytest.MonkeyPatch):
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
