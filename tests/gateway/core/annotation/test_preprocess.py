"""From prompts and an image to the network's input, and the previous answer in it."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.core.annotation.postprocess import postprocess
from gateway.core.annotation.preprocess import Prediction
from gateway.core.runtime import decode_probabilities
from sixpoint.preprocessing import Roi
from sixpoint.prompts import Click
from tests.gateway.core.annotation.network_inputs import annotate, network_input, whole_mask
from tests.gateway.prompts import SIX
from tests.support.images import noisy_volume
from tests.support.models import CLICKS_SPEC, clicks_answer


def test_a_click_outside_the_roi_makes_it_grow_and_takes_the_answer_along() -> None:
    volume = noisy_volume((120, 36, 32))
    first = network_input(SIX, volume=volume, spec=CLICKS_SPEC)
    grid = decode_probabilities(clicks_answer(first.tensor)[0])
    answered = postprocess(grid, first, geometry=volume.geometry, threshold=0.5)
    second = network_input(SIX, Click((110, 17, 16)), volume=volume, spec=CLICKS_SPEC, previous=answered)
    assert second.roi.upper[0] > 110.5 > first.roi.upper[0]
    expected = answered.roi.transfer(decode_probabilities(answered.probabilities), second.roi)
    assert second.guidance.previous is not None
    assert np.array_equal(second.guidance.previous, expected)
    assert second.tensor[4].max() > 0.9
    mask = whole_mask(decode_probabilities(clicks_answer(second.tensor)[0]), second, volume.geometry)
    assert mask[16, 17, 110] == 1
    assert mask[16, 17, 20] == 1


def test_a_click_inside_the_roi_leaves_it_and_the_previous_answer_as_they_are() -> None:
    volume = noisy_volume()
    first = network_input(SIX, volume=volume, spec=CLICKS_SPEC)
    answered = postprocess(
        np.random.default_rng(0).random((64, 64, 64), np.float32), first, geometry=volume.geometry, threshold=0.5
    )
    second = network_input(SIX, Click((20, 17, 16)), volume=volume, spec=CLICKS_SPEC, previous=answered)
    assert second.roi == first.roi
    assert second.guidance.previous is not None
    assert np.array_equal(second.guidance.previous, decode_probabilities(answered.probabilities))
    # What does not change keeps its very counts: all but the cells of a click that is violated.
    third = postprocess(second.guidance.previous, second, geometry=volume.geometry, threshold=0.5)
    assert np.count_nonzero(third.probabilities != answered.probabilities) <= 64


def test_a_voxel_whose_centre_lies_beyond_the_roi_can_be_clicked_at_its_near_face() -> None:
    volume = noisy_volume()
    roi = network_input(SIX, volume=volume).roi
    voxel = int(np.floor(roi.lower[0]))
    near_face = (voxel + 0.49, 17.0, 16.0)
    assert voxel < roi.lower[0] <= near_face[0]
    mask = annotate(volume.array, volume.geometry, SIX, Click(near_face))
    assert mask[16, 17, voxel] == 1


def test_an_answer_on_another_grid_is_carried_over() -> None:
    """As when a model gains a version with another ROI between two calls."""
    volume = noisy_volume()
    small = Prediction(np.full((16, 16, 16), 255, np.uint8), Roi((0, 0, 0), (40, 36, 32), (16, 16, 16)))
    prepared = network_input(SIX, volume=volume, previous=small)
    assert prepared.guidance.previous is not None
    assert prepared.guidance.previous.shape == (64, 64, 64)
    assert prepared.guidance.previous[32, 32, 32] == pytest.approx(1)


def test_uint8_counts_in_255ths_and_floats_are_taken_as_they_are() -> None:
    assert decode_probabilities(np.array([[[255, 51]]], np.uint8)).tolist() == [[[1.0, pytest.approx(0.2)]]]
    assert decode_probabilities(np.array([[[0.25]]], np.float16)).tolist() == [[[0.25]]]
