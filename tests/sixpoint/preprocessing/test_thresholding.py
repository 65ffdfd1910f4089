from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sixpoint.preprocessing import Roi, restore_mask

SIZE = (31, 29, 27)


def whole(piece: npt.NDArray[Any], lower: tuple[int, int, int]) -> npt.NDArray[Any]:
    """The whole image's array [z, y, x] that has this piece at this (x, y, z)."""
    result = np.zeros(SIZE[::-1], piece.dtype)
    x, y, z = lower
    result[z : z + piece.shape[0], y : y + piece.shape[1], x : x + piece.shape[2]] = piece
    return result


def blobs(shape: tuple[int, int, int], *, seed: int = 0, share: float = 0.3) -> npt.NDArray[np.uint8]:
    """Counts [z, y, x] that vary from cell to cell, and are 0 or 255 in larger parts."""
    random = np.random.default_rng(seed)
    blocks = np.kron(random.random([-(-n // 3) for n in shape]) < share, np.ones((3, 3, 3)))
    noise = random.integers(-60, 60, shape)
    return (blocks[: shape[0], : shape[1], : shape[2]] * 255 + noise).clip(0, 255).astype(np.uint8)


@given(st.data())
def test_it_is_what_restore_gives_cut_at_the_threshold(data: st.DataObject) -> None:
    """Finer and coarser grids along any axis, and boxes that reach beyond the image on any side."""
    lower = data.draw(st.tuples(*[st.floats(-20, 20)] * 3))
    extent = data.draw(st.tuples(*[st.floats(1.5, 60)] * 3))
    cells = data.draw(st.tuples(*[st.integers(3, 15)] * 3))
    roi = Roi(lower, tuple(a + b for a, b in zip(lower, extent, strict=True)), cells)
    grid = blobs(
        cells[::-1], seed=data.draw(st.integers(0, 99)), share=data.draw(st.sampled_from((0.0, 0.1, 0.5, 1.0)))
    )
    flips = data.draw(st.tuples(*[st.booleans()] * 3))
    values, first = roi.restore(grid, image_size=SIZE)
    mask = whole(*restore_mask(grid, roi, image_size=SIZE, threshold=127.5, flips=flips))
    near = whole(np.abs(values - 127.5) < 1e-3, first)
    assert np.array_equal(mask[~near], whole(values >= 127.5, first)[~near])
    assert np.count_nonzero(near) < 10


@pytest.mark.parametrize("flips", [(False, False, False), (True, True, False), (False, True, True)])
def test_how_it_lies_in_memory_changes_no_voxel(flips: tuple[bool, bool, bool]) -> None:
    roi = Roi((-3.3, 2.1, 1.7), (27.9, 25.2, 24.4), (9, 8, 10))
    grid = blobs((10, 8, 9))
    plain, first = restore_mask(grid, roi, image_size=SIZE, threshold=100)
    other, lower = restore_mask(grid, roi, image_size=SIZE, threshold=100, flips=flips)
    assert lower == first
    assert np.array_equal(other, plain)
    # Read backwards where it was asked to, it lies in memory in order.
    assert other[tuple(slice(None, None, -1 if flip else 1) for flip in flips[::-1])].flags.c_contiguous


def test_a_voxel_is_the_same_whatever_the_other_cells_are() -> None:
    roi = Roi((-0.3, 0.1, 0.7), (29.9, 27.2, 25.4), (9, 8, 10))
    grid = blobs((10, 8, 9))
    mask = whole(*restore_mask(grid, roi, image_size=SIZE, threshold=100))
    alone = np.zeros_like(grid)
    alone[3:7, 2:6, 2:6] = grid[3:7, 2:6, 2:6]
    # The voxels between the inner ones of those cells.
    inner = (slice(11, 16), slice(12, 16), slice(13, 17))
    assert np.array_equal(whole(*restore_mask(alone, roi, image_size=SIZE, threshold=100))[inner], mask[inner])


@pytest.mark.parametrize("edge", [8, 40], ids=["coarser grid", "finer grid"])
def test_an_even_grid_is_on_its_side_of_the_threshold(edge: int) -> None:
    roi = Roi((2.3, 1.1, 3.7), (23.9, 22.2, 24.4), (edge, 8, 8))
    threshold = 0.2 * 255 - (1e-3 if edge > 8 else 0)
    mask, _ = restore_mask(np.full((8, 8, edge), 51, np.uint8), roi, image_size=SIZE, threshold=threshold)
    assert mask.all()
    assert mask.size == np.prod([b - a for a, b in zip(*roi.voxel_bounds(SIZE), strict=True)])
    assert not restore_mask(np.full((8, 8, edge), 50, np.uint8), roi, image_size=SIZE, threshold=threshold)[0].size


def test_nothing_but_the_neighbourhood_of_the_object_is_returned() -> None:
    roi = Roi((-0.5, -0.5, -0.5), (30.5, 28.5, 26.5), (8, 8, 8))
    grid = np.zeros((8, 8, 8), np.uint8)
    grid[4, 4, 4] = 255
    mask, lower = restore_mask(grid, roi, image_size=SIZE, threshold=128)
    assert mask.any()
    assert max(mask.shape) <= 8
    assert all(11 <= first <= 15 for first in lower)


def test_covered_voxels_are_part_of_what_is_returned() -> None:
    roi = Roi((-0.5, -0.5, -0.5), (30.5, 28.5, 26.5), (8, 8, 8))
    empty, grid = np.zeros((8, 8, 8), np.uint8), np.zeros((8, 8, 8), np.uint8)
    grid[4, 4, 4] = 255
    mask, lower = restore_mask(grid, roi, image_size=SIZE, threshold=128, include=np.array([(3, 20, 15), (29, 17, 2)]))
    upper = [a + n for a, n in zip(lower, mask.shape[::-1], strict=True)]
    assert (lower[0], lower[2], upper[0]) == (3, 2, 30)
    assert np.array_equal(whole(mask, lower), whole(*restore_mask(grid, roi, image_size=SIZE, threshold=128)))
    mask, lower = restore_mask(empty, roi, image_size=SIZE, threshold=128, include=np.array([(3, 20, 15)]))
    assert (mask.shape, lower) == ((1, 1, 1), (3, 20, 15))
    assert restore_mask(empty, roi, image_size=SIZE, threshold=128)[0].size == 0


@pytest.mark.parametrize("flips", [(False, False, False), (False, False, True)])
@pytest.mark.parametrize("depth", [1, 2, 24])
def test_two_halves_make_the_same_mask(
    depth: int, flips: tuple[bool, bool, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    roi = Roi((-3.3, 2.1, 1.7), (27.9, 25.2, 1.7 + depth), (9, 8, 10))
    whole_mask, first = restore_mask(blobs((10, 8, 9)), roi, image_size=SIZE, threshold=100, flips=flips)
    monkeypatch.setattr("sixpoint.preprocessing.thresholding._PAIR_VOXELS", 1)
    mask, lower = restore_mask(blobs((10, 8, 9)), roi, image_size=SIZE, threshold=100, flips=flips)
    assert lower == first
    assert np.array_equal(mask, whole_mask)
