"""Work side by side comes to the same as work in turn."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from gateway.core.processing import correct, decode_probabilities, prepare, restore
from gateway.core.reductions import Reductions
from gateway.core.shown import read_call, show
from sixpoint.prompts import Click, ExtremePoints
from sixpoint.spread import in_turn, on
from tests.gateway.core.test_processing import POINTS
from tests.harness import CLICKS_SPEC, clicks_answer, noisy_volume


def test_every_number_is_worked_on_once_and_a_failure_is_raised():
    with ThreadPoolExecutor(2) as threads:
        for spread in (in_turn, on(threads)):
            seen: list[int] = []
            spread(seen.append, range(50))
            assert sorted(seen) == list(range(50))
            with pytest.raises(ZeroDivisionError):
                spread(_fail_at_nought, range(3))


def _fail_at_nought(number: int) -> None:
    assert 1 // number >= 0


def test_tensors_and_masks_are_the_same_to_the_bit():
    volume = noisy_volume((120, 110, 100))
    geometry = volume.geometry
    call = read_call([ExtremePoints((POINTS * 3).tolist()), Click((60, 50, 48), False)], geometry=geometry)
    shown, reduced = show(None, call), Reductions(geometry.orientation.to_canonical(volume.array))
    with ThreadPoolExecutor(3) as threads:
        made = [prepare(reduced, shown, geometry=geometry, spec=CLICKS_SPEC, spread=s) for s in (in_turn, on(threads))]
        assert np.array_equal(made[0].tensor, made[1].tensor)
        grid = decode_probabilities(clicks_answer(made[0].tensor)[0])
        answered = correct(grid, made[0], geometry=geometry, threshold=0.5)
        masks = [restore(answered, shown, geometry=geometry, threshold=0.5, spread=s) for s in (in_turn, on(threads))]
    assert masks[0][1] == masks[1][1]
    assert masks[0][0].any()
    assert np.array_equal(masks[0][0], masks[1][0])
