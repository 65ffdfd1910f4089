"""What can be trained of a spec; files are written whole or not at all, whoever else writes them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import trainer
from sixpoint.errors import ModelSpecError
from sixpoint.model_spec import ModelSpec, RoiSpec
from trainer.data.spec_files import read_spec_mapping
from trainer.training.network import build_network

_SPECS = Path(trainer.__file__).parent


def spec(task: str, **changes: Any) -> ModelSpec:
    """A spec of the trainer's own; ``changes`` are those of its network."""
    data = read_spec_mapping(_SPECS / f"{task}.yaml")
    if task == "segmentation":
        strides, kernels = [1, 2, 2], [3, 3, 3]
        arguments = {"in_channels": 1, "out_channels": 2, "filters": [8, 8, 8], "strides": strides}
        arguments |= {"kernel_size": kernels, "upsample_kernel_size": strides[1:]}
        data["input"]["channels"] = [{"kind": "image", "intensity": {"method": "percentile", "low": 1, "high": 99}}]
        data["patch"] = {"size": [16, 16, 16], "spacing": [1, 1, 1]}
        data["network"]["arguments"] |= arguments
    data["network"] |= changes
    return ModelSpec.from_mapping(data)


@pytest.mark.parametrize(
    ("task", "changes", "named"),
    [
        ("segmentation", {"axes": "RAS"}, "network.axes"),
        ("segmentation", {"scale": [32], "offset": [0.5]}, "network.scale, network.offset"),
        ("segmentation", {"activation": "none"}, "network.activation"),
        ("segmentation", {"channels": [1, 0]}, "network.channels"),
        ("annotation", {"activation": "softmax", "channels": [1]}, "network.activation, network.channels"),
    ],
)
def test_a_spec_that_says_what_lies_round_a_network_from_elsewhere_is_not_trained(
    task: str, changes: dict[str, Any], named: str
) -> None:
    with pytest.raises(ModelSpecError, match=f"the spec has {re.escape(named)}, which"):
        build_network(spec(task, **changes))


def test_labels_that_overlap_are_not_trained() -> None:
    overlapping = spec("segmentation")
    output = overlapping.output.model_copy(update={"exclusive": False})
    with pytest.raises(ModelSpecError, match=r"the spec has output\.exclusive, which"):
        build_network(overlapping.model_copy(update={"output": output}))


@pytest.mark.parametrize(
    ("field", "value"), [("grid", "centres"), ("average", "logits"), ("labelled", "grid"), ("foreground", -1.0)]
)
def test_a_patch_of_a_network_from_elsewhere_is_not_trained(field: str, value: str | float) -> None:
    usual = spec("segmentation")
    assert usual.patch is not None
    output = usual.output.model_copy(update={"dtype": "FP32"})
    changed = {"patch": usual.patch.model_copy(update={field: value}), "output": output}
    with pytest.raises(ModelSpecError, match=rf"the spec has patch\.{field}, which"):
        build_network(usual.model_copy(update=changed))


@pytest.mark.parametrize(
    ("roi", "named"),
    [
        ({}, "roi.whole"),
        (
            {"resampling": "area", "windowed_first": True, "click_placement": "cells"},
            "roi.whole, roi.resampling, roi.windowed_first, roi.click_placement",
        ),
    ],
)
def test_a_network_that_sees_the_whole_image_is_not_trained(roi: dict[str, Any], named: str) -> None:
    usual = spec("annotation")
    whole = usual.model_copy(update={"roi": RoiSpec(size=usual.roi.size, whole=True, **roi)})
    with pytest.raises(ModelSpecError, match=f"the spec has {re.escape(named)}, which"):
        build_network(whole)


@pytest.mark.parametrize(("task", "activation"), [("segmentation", "softmax"), ("annotation", "sigmoid")])
def test_what_is_usual_may_be_said(task: str, activation: str) -> None:
    usual = spec(task)
    said = spec(
        task, axes="SPL", scale=[1.0], offset=[0.0], activation=activation, channels=list(range(usual.output_shape[0]))
    )
    assert build_network(said).state_dict().keys() == build_network(usual).state_dict().keys()
