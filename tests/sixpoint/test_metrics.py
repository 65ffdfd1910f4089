from __future__ import annotations

import numpy as np
import pytest

from sixpoint.metrics import dice, presence_kappa, surface_dice


def block(start: int, stop: int) -> np.ndarray:
    mask = np.zeros((10, 10, 10), np.uint8)
    mask[start:stop] = 1
    return mask


def test_dice_of_a_mask_with_itself_is_one_and_with_a_stranger_nought() -> None:
    assert dice(block(0, 3), block(0, 3)) == 1
    assert dice(block(0, 3), block(5, 8)) == 0


def test_dice_is_twice_the_shared_over_the_sum() -> None:
    assert dice(block(0, 4), block(2, 8)) == pytest.approx(2 * 2 / (4 + 6))
    assert dice(block(2, 8), block(0, 4)) == dice(block(0, 4), block(2, 8))


def test_masks_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="masks of one shape"):
        dice(block(0, 3), block(0, 3)[:1])


def test_two_empty_masks_agree() -> None:
    assert dice(block(0, 0), block(0, 0)) == 1


def test_any_positive_number_belongs_to_the_mask() -> None:
    assert dice(block(0, 3) * 7, block(0, 3) > 0) == 1


def test_surfaces_agree_within_the_tolerance() -> None:
    a, b = block(2, 6), block(3, 7)
    spacing = (1.0, 1.0, 2.0)
    assert surface_dice(a, a, spacing, tolerance_mm=0) == 1
    # In each, the outermost slice lies 2 mm off the other's, and one ring within does: the rest lies on both.
    assert surface_dice(a, b, spacing, tolerance_mm=0) < surface_dice(a, b, spacing, tolerance_mm=1.9) < 1
    assert surface_dice(a, b, spacing, tolerance_mm=2) == 1
    assert surface_dice(a, block(0, 0), spacing, tolerance_mm=5) == 0
    assert surface_dice(block(0, 0), block(0, 0), spacing, tolerance_mm=0) == 1
    with pytest.raises(ValueError, match="one shape"):
        surface_dice(a, a[1:], spacing, tolerance_mm=1)


def test_surface_dice_is_that_of_all_distances() -> None:
    random = np.random.default_rng(5)
    a, b = (random.random((7, 6, 5)) < 0.4 for _ in range(2))
    spacing = (0.7, 1.3, 2.1)
    surfaces = []
    for mask in (a, b):
        padded = np.pad(mask, 1)
        shifted = [np.roll(padded, step, axis) for axis in range(3) for step in (-1, 1)]
        surface = padded & ~np.logical_and.reduce(shifted)
        surfaces.append(np.argwhere(surface) * spacing[::-1])
    distances = np.linalg.norm(surfaces[0][:, None] - surfaces[1][None], axis=2)
    for tolerance in (0.0, 0.7, 1.0, 1.3, 2.1):
        near = np.count_nonzero(distances.min(axis=1) <= tolerance + 1e-6)
        near += np.count_nonzero(distances.min(axis=0) <= tolerance + 1e-6)
        expected = near / sum(map(len, surfaces))
        assert surface_dice(a, b, spacing, tolerance_mm=tolerance) == pytest.approx(expected)


def test_kappa_of_presence() -> None:
    assert presence_kappa([(True, True), (False, False)]) == 1
    assert presence_kappa([(True, False), (False, True)]) == -1
    assert presence_kappa([(True, True), (False, False), (True, False), (False, True)]) == 0
    assert presence_kappa([(True, True)] * 3) is None
    assert presence_kappa([]) is None
