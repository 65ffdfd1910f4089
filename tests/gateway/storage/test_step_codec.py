"""Steps as the database keeps them."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from sqlalchemy import Row

from gateway.core.annotation.preprocess import Prediction
from gateway.core.sessions import StepRow
from gateway.storage.sessions.step_codec import decode_step, encode_step
from sixpoint.preprocessing import Roi
from sixpoint.prompts import Click


@pytest.mark.parametrize(
    ("roi", "stored"),
    [
        (Roi((0.5, 1.0, 2.0), (8.0, 9.0, 10.0), (4, 5, 6)), [[0.5, 1.0, 2.0], [8.0, 9.0, 10.0], [4, 5, 6]]),
        (
            Roi((-0.5, -0.5, -0.5), (8.5, 9.5, 7.5), (4, 5, 6), resampling="area"),
            [[-0.5, -0.5, -0.5], [8.5, 9.5, 7.5], [4, 5, 6], "area"],
        ),
    ],
    ids=["smoothed", "area"],
)
def test_the_resampling_of_an_answer_comes_back(roi: Roi, stored: list[Any]) -> None:
    grid = np.arange(120, dtype=np.uint8).reshape(6, 5, 4)
    step = StepRow(
        segment=1,
        number=1,
        start_step=1,
        revision=1,
        prompts=(Click((1, 2, 3)),),
        model="m",
        model_version="1",
        created=0.0,
        prediction=Prediction(grid, roi),
        threshold=0.5,
    )
    values = encode_step(step)
    values["roi"] = json.loads(json.dumps(values["roi"]))
    # As before there was a choice: steps of old state folders are read, and those of most models as they were.
    assert values["roi"] == stored
    row = SimpleNamespace(**values, _mapping={"segment": 1, "number": 1, **values})
    prediction = decode_step(cast("Row[Any]", row)).prediction
    assert prediction is not None
    assert prediction.roi == roi
    assert np.array_equal(prediction.probabilities, grid)
