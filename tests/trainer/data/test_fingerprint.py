"""A dataset fills what a template leaves open: labels, spacing, a patch that the network can halve, windows of CT."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import trainer
from sixpoint.errors import ModelSpecError
from sixpoint.model_spec import ImageChannel, Intensity, ModelSpec
from tests.trainer.conftest import SIZE, Maker
from trainer.data.datasets import Dataset, read_dataset
from trainer.data.fingerprint import MAX_PATCH_VOXELS, Fingerprint, complete_spec, compute_fingerprint
from trainer.data.spec_files import read_spec_mapping
from trainer.training.network import build_network

TEMPLATE = read_spec_mapping(Path(trainer.__file__).with_name("segmentation.yaml"))
DATASET = Dataset(name="Balls", cases=(), labels={1: "shell", 2: "core"}, modality="MR")
PRINT = Fingerprint(
    cases=(), size=(35, 51, 35), spacing=(1.0, 1.0, 1.0), labels={1: "shell", 2: "core"}, low=-12.2, high=240.7
)


def filled(template: dict[str, Any] = TEMPLATE, dataset: Dataset = DATASET, **changes: Any) -> ModelSpec:
    return complete_spec(template, dataset, replace(PRINT, **changes))


def arguments(spec: ModelSpec) -> dict[str, Any]:
    assert spec.network is not None
    return spec.network.arguments


def test_a_survey_tells_size_spacing_and_intensities(make_pairs: Maker, tmp_path: Path) -> None:
    dataset = read_dataset(make_pairs(cases=3, spacing=(1.0, 1.5, 2.0)))
    shares: list[float] = []
    found = compute_fingerprint(dataset, workers=2, report=shares.append)
    assert found.cases == ("ball_0", "ball_1", "ball_2")
    assert (found.size, found.spacing) == (SIZE, (1.0, 1.5, 2.0))
    assert 60 < found.low < 90 < 150 < found.high < 190
    assert shares == pytest.approx([1 / 3, 2 / 3, 1])
    found.write(tmp_path / "fingerprint.json")
    assert Fingerprint.read(tmp_path / "fingerprint.json") == found


def test_a_small_volume_is_one_patch() -> None:
    spec = filled()
    assert spec.labels == ("shell", "core")
    assert spec.modalities == ("MR",)
    assert spec.title == "Segmentation: Balls"
    assert spec.patch is not None
    assert (spec.patch.size, spec.patch.spacing) == ((40, 56, 40), (1.0, 1.0, 1.0))
    assert arguments(spec)["strides"] == [[1, 1, 1], [2, 2, 2], [2, 2, 2], [2, 2, 2]]
    assert arguments(spec)["filters"] == [16, 32, 64, 128]
    with torch.inference_mode():
        assert build_network(spec).eval()(torch.zeros(1, *spec.input_shape)).shape == (1, *spec.output_shape)


@pytest.mark.parametrize(
    ("size", "spacing"),
    [((512, 512, 400), (0.8, 0.8, 1.0)), ((320, 320, 20), (0.6, 0.6, 4.0)), ((20, 9, 9), (1.0, 1.0, 1.0))],
    ids=["large", "thick slices", "tiny"],
)
def test_a_patch_is_bounded_and_the_network_can_halve_it(size: Any, spacing: Any) -> None:
    spec = filled(size=size, spacing=spacing)
    assert spec.patch is not None
    assert np.prod(spec.patch.size) <= MAX_PATCH_VOXELS
    stride = np.prod(arguments(spec)["strides"], axis=0)[::-1]
    assert not (np.array(spec.patch.size) % stride).any()
    with torch.inference_mode():
        build_network(spec)


def test_thick_slices_are_halved_and_convolved_later() -> None:
    spec = filled(size=(320, 320, 20), spacing=(0.6, 0.6, 4.0))
    assert arguments(spec)["strides"][1] == [1, 2, 2]
    assert arguments(spec)["kernel_size"][0] == [1, 3, 3]
    assert arguments(spec)["kernel_size"][-1] == [3, 3, 3]


def test_ct_is_seen_through_the_window_of_what_is_labelled() -> None:
    (channel,) = filled(dataset=replace(DATASET, modality="CT")).input.channels
    assert channel == ImageChannel(intensity=Intensity(method="range", low=-12, high=241))


def test_ct_of_small_numbers_keeps_its_window() -> None:
    (channel,) = filled(dataset=replace(DATASET, modality="CT"), low=0.11, high=0.42).input.channels
    assert channel == ImageChannel(intensity=Intensity(method="range", low=0.11, high=0.42))
    with pytest.raises(
        ModelSpecError, match="all labelled voxels of Balls have the intensity 100, which gives no window"
    ):
        filled(dataset=replace(DATASET, modality="CT"), low=100.0, high=100.0)


def test_what_the_template_says_stays() -> None:
    network = {"name": "UNet", "arguments": {"spatial_dims": 3, "in_channels": 1, "out_channels": 3}}
    spec = filled({**TEMPLATE, "title": "Mine", "network": network, "patch": {"spacing": [2.0, 2.0, 2.0]}})
    assert spec.title == "Mine"
    assert arguments(spec) == network["arguments"]
    assert spec.patch is not None
    assert spec.patch.size == (32, 32, 32)  # 18 and 26 voxels, in whole sixteens
    whole = filled(TEMPLATE | {"patch": {"spacing": [1, 1, 1], "size": [48, 48, 48]}})
    assert whole.patch is not None
    assert whole.patch.size == (48, 48, 48)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"task": "annotation"}, "not for segmentation"),
        ({"labels": ["liver"]}, r"labels are \['liver'\], the dataset's \['shell', 'core'\]"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_template_for_something_else(change: dict[str, Any], expected: str) -> None:
    with pytest.raises(ModelSpecError, match=expected):
        filled({**TEMPLATE, **change})
