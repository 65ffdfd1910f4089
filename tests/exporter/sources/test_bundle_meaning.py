"""Bundles give the labels of their own run in MONAI, however their config is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.exporter.bundles import UNET, config, metadata, write_bundle
from tests.exporter.pipelines import (
    derive,
    dice,
    edit_config,
    monai_input,
    monai_labels,
    our_input,
    our_labels,
    write_image,
)

Transform = dict[str, Any]
WINDOW: Transform = {"_target_": "ScaleIntensityRanged", "a_min": -200, "a_max": 300, "b_min": 0.0, "b_max": 1.0}
HU: Transform = {**WINDOW, "keys": "image", "clip": True}
INFERER: Transform = {"_target_": "SlidingWindowInferer", "roi_size": [16, 16, 16], "overlap": 0.5}


def before(*intensity: Transform, key: Any = "image") -> Transform:
    chain: list[Transform] = [
        {"_target_": "LoadImaged", "keys": key},
        {"_target_": "EnsureChannelFirstd", "keys": key},
        {"_target_": "Orientationd", "keys": key, "axcodes": "RAS"},
        {"_target_": "Spacingd", "keys": key, "pixdim": [1.0, 1.0, 1.0], "mode": "bilinear"},
    ]
    return {"_target_": "Compose", "transforms": [*chain, *intensity]}


def after(*decision: Transform) -> Transform:
    return {"_target_": "Compose", "transforms": list(decision)}


SOFTMAX: Transform = {"_target_": "Activationsd", "keys": "pred", "softmax": True}
ARGMAX: Transform = {"_target_": "AsDiscreted", "keys": "pred", "argmax": True}
BOTH = after(SOFTMAX, ARGMAX)
ENUM = "$monai.utils.CommonKeys.IMAGE"
CONFIGS: dict[str, Transform] = {
    "keys as a list": {"image": ENUM, "preprocessing": before({**HU, "keys": ["@image"]}, key="@image")},
    "keys as an enum": {"preprocessing": before({**HU, "keys": "$monai.utils.enums.CommonKeys.IMAGE.value"})},
    "not disabled, as text": {"preprocessing": before({**HU, "_disabled_": "false"})},
    "disabled, as text": {"preprocessing": before(HU, {**HU, "a_min": 0, "_disabled_": " True "})},
    "lists per key": {
        "preprocessing": before(HU),
        "postprocessing": after({**SOFTMAX, "softmax": [True]}, {**ARGMAX, "argmax": [True]}),
    },
    "sigma scale": {"inferer": {**INFERER, "mode": "gaussian", "sigma_scale": 0.5}},
    "mode as an enum": {"inferer": {**INFERER, "mode": "$monai.utils.BlendMode.GAUSSIAN"}},
    "adaptive windows": {
        "inferer": {**INFERER, "_target_": "SlidingWindowInfererAdapt", "overlap": 0.75, "mode": "gaussian"}
    },
    "windows from the network's corner": {"inferer": {**INFERER, "roi_size": [24, 24, 24], "overlap": 0.1}},
    "small images": {"inferer": {**INFERER, "roi_size": [48, 48, 48], "cval": 0.3}},
}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_image(tmp_path_factory.mktemp("image") / "ct.nii.gz", size=(41, 36, 33))


@pytest.mark.parametrize("case", CONFIGS)
def test_labels_equal_those_of_monai(case: str, image: Path, tmp_path: Path) -> None:
    content = config(**{"preprocessing": before(HU), "inferer": INFERER, "postprocessing": BOTH, **CONFIGS[case]})
    network = write_bundle(tmp_path / "bundle", content)
    expected = monai_labels(tmp_path / "bundle", image, network)[0]
    assert 0.05 < (expected > 0).mean() < 0.95
    assert dice(our_labels(tmp_path / "bundle", image, tmp_path), expected) >= 0.999


DECISIONS = {
    "softmax": [SOFTMAX, ARGMAX],
    "argmax alone": [ARGMAX],
    "sigmoid": [{"_target_": "Activationsd", "keys": "pred", "sigmoid": True}, {**ARGMAX, "argmax": True}],
    "labels that may overlap": [
        {"_target_": "Activationsd", "keys": "pred", "sigmoid": True},
        {"_target_": "AsDiscreted", "keys": "pred", "threshold": 0.4},
    ],
}


@pytest.mark.parametrize("decision", DECISIONS)
def test_windows_that_disagree_are_averaged_as_by_monai(decision: str, image: Path, tmp_path: Path) -> None:
    inferer = {**INFERER, "mode": "gaussian", "overlap": 0.25}
    content = config(preprocessing=before(HU), inferer=inferer, postprocessing=after(*DECISIONS[decision]))
    about = metadata({"0": "left", "1": "right"}) if decision.startswith("labels") else None
    network = write_bundle(tmp_path / "bundle", content, about, gain=2.0)
    expected = monai_labels(tmp_path / "bundle", image, network)
    found = our_labels(tmp_path / "bundle", image, tmp_path).reshape(expected.shape)
    for one, other in zip(found, expected, strict=True):
        assert 0.05 < (other > 0).mean() < 0.95
        assert dice(one, other) >= 0.999


@pytest.mark.parametrize("threshold", [0.5, -0.2, 0.0])
def test_a_threshold_without_an_activation_is_compared_with_the_networks_output(
    threshold: float, image: Path, tmp_path: Path
) -> None:
    decision = {"_target_": "AsDiscreted", "keys": "pred", "threshold": threshold}
    content = config(
        network_def={**UNET, "out_channels": 1},
        preprocessing=before(HU),
        inferer=INFERER,
        postprocessing=after(decision),
    )
    network = write_bundle(tmp_path / "bundle", content, metadata({"0": "spot"}))
    expected = monai_labels(tmp_path / "bundle", image, network)
    assert 0.01 < (expected > 0).mean() < 0.99
    assert dice(our_labels(tmp_path / "bundle", image, tmp_path), expected) >= 0.999


def test_transforms_under_another_name_are_read(image: Path, tmp_path: Path) -> None:
    content = config(preprocessing=before(HU), inferer=INFERER, postprocessing=BOTH)
    content["transforms"] = content.pop("preprocessing")
    network = write_bundle(tmp_path / "bundle", content)
    expected = monai_labels(tmp_path / "bundle", image, network, name="transforms")[0]
    assert dice(our_labels(tmp_path / "bundle", image, tmp_path), expected) >= 0.999
    assert any("transforms is read in its place" in note for note in derive(tmp_path / "bundle").notes)


@pytest.mark.parametrize("steps", ["decision, Invert", "Invert, decision", "Invert, activation, decision"])
def test_labels_of_the_nearest_voxel_are_those_of_the_networks_grid(steps: str, tmp_path: Path) -> None:
    image = write_image(tmp_path / "image.nii.gz", size=(52, 44, 30), spacing=(0.8, 0.83, 1.47))
    invert = {"_target_": "Invertd", "keys": "pred", "transform": "@preprocessing", "orig_keys": "image"}
    orders = {
        "decision, Invert": (SOFTMAX, ARGMAX, invert),
        "Invert, decision": (SOFTMAX, invert, ARGMAX),
        "Invert, activation, decision": (invert, SOFTMAX, ARGMAX),
    }
    content = config(preprocessing=before(HU), inferer=INFERER, postprocessing=after(*orders[steps]))
    network = write_bundle(tmp_path / "bundle", content)
    derived = derive(tmp_path / "bundle")
    assert derived.notes == ()
    assert derived.spec.patch is not None
    assert derived.spec.patch.labelled == "grid"
    expected = monai_labels(tmp_path / "bundle", image, network)[0]
    assert 0.05 < (expected > 0).mean() < 0.95
    assert dice(our_labels(tmp_path / "bundle", image, tmp_path), expected) >= 0.999


@pytest.mark.parametrize("decided_first", [False, True])
def test_what_lies_beyond_the_foreground_is_background_as_by_monai(decided_first: bool, tmp_path: Path) -> None:
    image = write_image(tmp_path / "image.nii.gz", size=(52, 44, 30), spacing=(0.8, 0.83, 1.47))
    soft = {**HU, "a_min": 180}
    crop = {"_target_": "CropForegroundd", "keys": ["image"], "source_key": "image", "mode": ["minimum"]}
    invert = {"_target_": "Invertd", "keys": "pred", "transform": "@preprocessing", "orig_keys": "image"}
    invert["nearest_interp"] = decided_first  # type: ignore[assignment]
    steps = (SOFTMAX, ARGMAX, invert) if decided_first else (SOFTMAX, invert, ARGMAX)
    content = config(preprocessing=before(soft, crop), inferer=INFERER, postprocessing=after(*steps))
    network = write_bundle(tmp_path / "bundle", content)
    derived = derive(tmp_path / "bundle")
    assert derived.spec.patch is not None
    assert derived.spec.patch.foreground == -1
    assert derived.notes == ()
    assert (
        monai_input(tmp_path / "bundle", image).shape == (1, 23, 37, 44) == our_input(tmp_path / "bundle", image).shape
    )
    expected = monai_labels(tmp_path / "bundle", image, network)[0]
    assert 0.05 < (expected > 0).mean() < 0.95
    assert dice(our_labels(tmp_path / "bundle", image, tmp_path), expected) >= 0.999


@pytest.mark.parametrize(
    ("place", "changes"),
    [
        *((3, {}), (5, {"margin": 2}), (5, {"source_key": "body"}), (5, {"select_fn": "$lambda x: x > 3"})),
        (5, {"keys": ["image", "label"], "source_key": "label"}),
    ],
)
def test_another_crop_is_named(place: int, changes: Transform, tmp_path: Path) -> None:
    content = config(preprocessing=before(HU), inferer=INFERER, postprocessing=BOTH)
    crop = {"_target_": "CropForegroundd", "keys": "image", "source_key": "image", **changes}
    content["preprocessing"]["transforms"].insert(place, crop)
    write_bundle(tmp_path / "bundle", content)
    derived = derive(tmp_path / "bundle")
    assert derived.spec.patch is not None
    assert derived.spec.patch.foreground is None
    assert "CropForeground: the gateway does not crop to the foreground before the network" in derived.notes


# Weights


def ema(folder: Path, network: torch.nn.Module, key: str) -> None:
    other = {name: torch.zeros_like(value) for name, value in network.state_dict().items()}
    torch.save({"model": other, key: network.state_dict(), "epoch": 3}, folder / "models" / "model.pt")


@pytest.mark.parametrize("key", ["ema", "net", "state_dict"])
def test_the_entry_that_load_dict_names_is_loaded(key: str, image: Path, tmp_path: Path) -> None:
    content = config(preprocessing=before(HU), inferer=INFERER, postprocessing=BOTH)
    content["handlers"][0]["load_dict"] = {"optimizer": "@optimizer", key: "@network"}
    network = write_bundle(tmp_path / "bundle", content)
    ema(tmp_path / "bundle", network, key)
    edit_config(tmp_path / "bundle", optimizer={"_target_": "torch.optim.Adam"})
    found = our_labels(tmp_path / "bundle", image, tmp_path)
    edit_config(tmp_path / "bundle", optimizer=None)
    assert dice(found, monai_labels(tmp_path / "bundle", image, network)[0]) >= 0.999


# Intensities in other units than HU

UNITS = {"0..1": (1 / 1000, 0.4), "ADC in mm2/s": (3e-6, 1.2e-3), "PET in Bq/ml": (200.0, 7e4)}
"""Scale and offset of the image's values."""
CHAINS: dict[str, tuple[str, list[Transform]]] = {
    "range": ("0..1", [{**WINDOW, "keys": "image", "a_min": 0, "a_max": 1, "clip": False}]),
    "nothing": ("0..1", []),
    "nothing, ADC": ("ADC in mm2/s", []),
    "given mean": (
        "ADC in mm2/s",
        [{"_target_": "NormalizeIntensityd", "keys": "image", "subtrahend": 0.0012, "divisor": 0.0006}],
    ),
    "far from the mean": (
        "PET in Bq/ml",
        [{"_target_": "NormalizeIntensityd", "keys": "image", "subtrahend": 70000.0, "divisor": 20.0}],
    ),
    "z-score": ("PET in Bq/ml", [{"_target_": "NormalizeIntensityd", "keys": "image"}]),
    "percentiles": (
        "0..1",
        [
            {
                "_target_": "ScaleIntensityRangePercentilesd",
                "keys": "image",
                "lower": 1,
                "upper": 97,
                "b_min": 0.0,
                "b_max": 1.0,
                "clip": True,
            }
        ],
    ),
    "no maximum": ("0..1", [{"_target_": "ScaleIntensityd", "keys": "image", "minv": 5.0, "maxv": None}]),
}


@pytest.mark.parametrize("case", CHAINS)
def test_the_input_equals_monais_in_any_units(case: str, tmp_path: Path) -> None:
    units, chain = CHAINS[case]
    scale, offset = UNITS[units]
    image = write_image(tmp_path / "image.nii.gz", size=(24, 20, 16), scale=scale, offset=offset)
    write_bundle(tmp_path / "bundle", config(preprocessing=before(*chain)))
    expected = monai_input(tmp_path / "bundle", image)
    found = our_input(tmp_path / "bundle", image)
    assert np.sqrt(np.mean((found - expected) ** 2)) <= 1e-4 * max(1e-3, float(np.abs(expected).max()))


# MONAI's grid

GRIDS: dict[str, tuple[list[Transform], tuple[float, float, float], tuple[float, float, float]]] = {
    "coarser": ([HU], (0.7, 0.8, 1.3), (1.5, 1.5, 2.0)),
    "finer": ([HU], (1.5, 1.2, 3.0), (1.0, 1.0, 1.0)),
    "much coarser, extremes": ([{"_target_": "ScaleIntensityd", "keys": "image"}], (0.5, 0.5, 0.5), (2.0, 1.7, 3.0)),
    "nearly the same": ([HU], (1.0005, 1.0, 0.9995), (1.0, 1.0, 1.0)),
    "z-score": (
        [{"_target_": "NormalizeIntensityd", "keys": "image", "nonzero": True}],
        (0.9, 0.9, 2.5),
        (1.5, 1.5, 1.5),
    ),
}


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("axes", ["RAS", "LPS", "SAL"])
@pytest.mark.parametrize("case", GRIDS)
def test_the_grid_is_that_of_monai_in_the_order_of_training(case: str, axes: str, first: bool, tmp_path: Path) -> None:
    chain, stored, target = GRIDS[case]
    image = write_image(tmp_path / "image.nii.gz", size=(38, 29, 23), spacing=stored, border=case == "z-score")
    content = config(preprocessing=before())
    transforms = content["preprocessing"]["transforms"]
    transforms[2]["axcodes"] = axes
    transforms[3]["pixdim"] = list(target)
    transforms[3 if first else 4 : 3 if first else 4] = chain
    write_bundle(tmp_path / "bundle", content)
    expected = monai_input(tmp_path / "bundle", image)
    found = our_input(tmp_path / "bundle", image)
    assert found.shape == expected.shape
    assert np.sqrt(np.mean((found - expected) ** 2)) <= 1e-5


@pytest.mark.parametrize("decided_first", [False, True])
def test_labels_on_another_grid_equal_those_of_monai(decided_first: bool, tmp_path: Path) -> None:
    image = write_image(tmp_path / "image.nii.gz", size=(52, 44, 30), spacing=(0.8, 0.83, 1.47))
    invert = {
        "_target_": "Invertd",
        "keys": "pred",
        "transform": "@preprocessing",
        "orig_keys": "image",
        "nearest_interp": decided_first,
        "to_tensor": True,
    }
    steps = (SOFTMAX, ARGMAX, invert) if decided_first else (SOFTMAX, invert, ARGMAX)
    content = config(preprocessing=before(HU), inferer=INFERER, postprocessing=after(*steps))
    network = write_bundle(tmp_path / "bundle", content)
    expected = monai_labels(tmp_path / "bundle", image, network)[0]
    assert dice(our_labels(tmp_path / "bundle", image, tmp_path), expected) >= 0.999
