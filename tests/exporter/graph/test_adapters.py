"""Adapters between a network and the model's tensors: axes, scaling, activation, channels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from exporter.graph.adapters import InputAdapter, OutputAdapter, network_shape
from sixpoint.model_spec import ModelSpec

LETTERS = {"L": (2, 1), "R": (2, -1), "P": (1, 1), "A": (1, -1), "S": (0, 1), "I": (0, -1)}
"""Axis of a canonical array [z, y, x] and step along it, for each direction of the patient."""
LOGITS = {"size": [8, 10, 12], "spacing": [1, 1, 1], "average": "logits"}


def spec(network: dict[str, Any] | None = None, **others: Any) -> ModelSpec:
    mapping = {
        "task": "segmentation",
        "prompts": [],
        "labels": ["liver", "tumour"],
        "patch": {"size": [8, 10, 12], "spacing": [1, 1, 1]},
        "input": {"dtype": "FP32", "channels": [{"kind": "image", "intensity": {"method": "percentile"}}]},
        "output": {"dtype": "FP32"},
        "network": {"name": "UNet", **(network or {})},
    }
    return ModelSpec.from_mapping({**mapping, **others})


@pytest.mark.parametrize("axes", ["SPL", "RAS", "LPS", "RPI", "ASL", "IAR"])
def test_axes_are_permuted_for_the_network_and_back(axes: str) -> None:
    model = spec({"axes": axes, "activation": "none"})
    value = torch.rand(2, 1, 12, 10, 8)
    seen = InputAdapter(model)(value)
    assert tuple(seen.shape[1:]) == network_shape(model)
    expected = np.moveaxis(value[0, 0].numpy(), [LETTERS[letter][0] for letter in axes], [0, 1, 2])
    expected = expected[tuple(slice(None, None, LETTERS[letter][1]) for letter in axes)]
    assert np.array_equal(seen[0, 0], expected)
    assert torch.equal(OutputAdapter(model)(seen), value)


def test_intensities_are_scaled_for_the_network() -> None:
    model = spec({"scale": [0.5], "offset": [0.5]})
    assert torch.equal(
        InputAdapter(model)(torch.tensor([-1.0, 0.0, 1.0]).reshape(1, 1, 3, 1, 1)).flatten(), torch.tensor([0, 0.5, 1])
    )


@pytest.mark.parametrize(
    ("network", "others", "expected"),
    [
        ({}, {}, torch.softmax(torch.tensor([1.0, 3.0, 2.0]), 0)),
        ({"activation": "none"}, {}, torch.tensor([1.0, 3.0, 2.0])),
        ({"channels": [2, 0, 1]}, {}, torch.softmax(torch.tensor([1.0, 3.0, 2.0]), 0)[[2, 0, 1]]),
        (
            {"channels": [2, 1]},
            {"output": {"dtype": "FP32", "exclusive": False}},
            torch.sigmoid(torch.tensor([2.0, 3.0])),
        ),
        (
            {"activation": "softmax", "channels": [1]},
            {"task": "annotation", "patch": None, "labels": ["object"], "prompts": ["box"]},
            torch.softmax(torch.tensor([1.0, 3.0, 2.0]), 0)[1:2],
        ),
        ({}, {"patch": LOGITS}, torch.tensor([-2.0, 0.0, -1.0])),
        ({"channels": [2, 0, 1]}, {"patch": LOGITS}, torch.tensor([-1.0, -2.0, 0.0])),
        (
            {"channels": [2, 1]},
            {"patch": LOGITS, "output": {"dtype": "FP32", "exclusive": False}},
            torch.tensor([2.0, 3.0]),
        ),
    ],
    ids=[
        *("softmax", "probabilities", "another order", "sigmoid of some", "one of softmax"),
        *("logits", "logits in another order", "logits of some"),
    ],
)
def test_the_output_adapter_returns_probabilities(
    network: dict[str, Any], others: dict[str, Any], expected: torch.Tensor
) -> None:
    logits = torch.tensor([1.0, 3.0, 2.0]).reshape(1, 3, 1, 1, 1)
    assert torch.allclose(OutputAdapter(spec(network, **others))(logits).flatten(), expected)


def test_nearly_equal_labels_keep_their_order_in_half_precision() -> None:
    # Logarithms of probabilities, -1.1 for three labels and -4.6 for a hundred, are 0.001 and 0.004 apart in float16.
    adapter = OutputAdapter(spec(patch=LOGITS, output={"dtype": "FP16"}))
    logits = 5.0 + torch.tensor([[0.0, 1e-4, 2e-5], [3e-4, 0.0, 2.9e-4]]).T.reshape(1, 3, 2, 1, 1)
    answer = adapter(logits).flatten(2)[0]
    assert answer.dtype == torch.float16
    assert torch.equal(answer.argmax(dim=0), torch.tensor([1, 0]))
    # The sum over two windows decides as the sum of the logits does.
    assert answer.float().sum(dim=1).argmax() == logits.sum(dim=2).flatten().argmax()
