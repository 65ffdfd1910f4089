"""Rollouts in process: the gateway's own functions with a network that is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.rollouts.__main__ import compare, compare_networks
from benchmarks.rollouts.bodies import synthetic_bodies
from benchmarks.rollouts.session import LocalSession
from sixpoint._typing import Array, Counts
from sixpoint.prompts import Click, ExtremePoints
from tests.gateway.core.annotation.network_inputs import annotate
from tests.gateway.prompts import SIX
from tests.support.images import noisy_volume
from tests.support.models import CLICKS_SPEC, clicks_answer
from trainer.data.structures import Structure


def answer(tensor: Array) -> Counts:
    counts: Counts = clicks_answer(tensor)[0]
    return counts


def test_a_session_answers_as_the_gateway_does() -> None:
    volume = noisy_volume()
    session = LocalSession(volume, CLICKS_SPEC, answer)
    first = session.annotate(SIX)
    assert np.array_equal(first.array, annotate(volume.array, volume.geometry, SIX))
    corrected = session.annotate(Click((4, 17, 16)))
    assert corrected.array[16, 17, 4] == 1
    assert not first.array[16, 17, 4]
    again = session.annotate(SIX)
    assert np.array_equal(again.array, first.array), "points start a new object"


def test_held_out_bodies_are_the_same_each_time_and_of_their_kind() -> None:
    (first,), (same,) = (synthetic_bodies(1, compact=True)[0].read() for _ in range(2))
    assert isinstance(first, Structure)
    assert np.array_equal(first.truth, same.truth)
    assert first.group == "synthetic, compact"
    assert ExtremePoints.of_mask(first.truth).to_index(first.image.geometry).shape == (6, 3)


def test_figures_that_are_there_are_not_computed_again(tmp_path: Path) -> None:
    row = {"points": 0.5, "1 click": 0.6, "3 clicks": 0.7, "5 clicks": 0.8, "jittered": 0.4}
    figures = {
        "means": {"dice": {"discs": row}},
        "click_measures": {"all clicks": {"costs over 0.05": 0.25}},
        "cases": [],
    }
    (tmp_path / "one.json").write_text(json.dumps(figures), encoding="utf-8")
    text = compare_networks({"one": tmp_path / "nowhere"}, [], output=tmp_path)
    assert "| one | discs | 0.5000 | 0.6000 | 0.7000 | 0.8000 | 0.4000 |" in text
    assert "| one | all clicks |  |  |  |  | 0.250 |" in text
    assert text == compare({"one": figures})
    with pytest.raises(Exception, match="nowhere"):
        compare_networks({"other": tmp_path / "nowhere"}, [], output=tmp_path)
