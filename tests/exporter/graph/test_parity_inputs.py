"""The forms of a model are compared on an image in the units that its network expects, too."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from exporter.graph.adapters import InputAdapter
from exporter.parity.inputs import parity_inputs
from sixpoint.model_spec import ModelSpec
from tests.exporter.specs import SEGMENTATION

CASES: dict[str, tuple[dict[str, Any], float]] = {
    "0..1": ({"low": -32767.5, "high": 32768.5}, 32768.0),
    "mm2/s": ({"low": -39.3, "high": 39.3}, 65536.0),
    "Bq/ml": ({"low": 70000 - 20 * 65536.0, "high": 70000 + 20 * 65536.0}, 65536.0),
}


@pytest.mark.parametrize("case", CASES)
def test_a_network_sees_more_than_the_edges_of_its_window(case: str) -> None:
    window, scale = CASES[case]
    channels = [{"kind": "image", "intensity": {"method": "range", **window}}]
    spec = ModelSpec.from_mapping(
        {
            **SEGMENTATION,
            "input": {"dtype": "FP32", "channels": channels},
            "network": {"name": "ONNX", "scale": [scale], "offset": [0.0]},
        }
    )
    inputs = parity_inputs(spec)
    assert inputs.batch.shape == (4, *spec.input_shape)
    seen = InputAdapter(spec)(torch.from_numpy(inputs.batch))[2:].numpy()
    assert np.abs(seen).max() <= 1.001
    assert np.ptp(seen) > 0.5


def test_a_network_without_a_window_of_its_own_sees_the_image_alone() -> None:
    spec = ModelSpec.from_mapping({**SEGMENTATION, "network": {"name": "ONNX"}})
    assert len(parity_inputs(spec).batch) == 2
