"""What a bundle does not state as data, and what the gateway cannot do, is named: never guessed or left out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sixpoint.errors import InvalidArgument
from tests.exporter.bundles import RANGE, config, metadata, write_bundle
from tests.exporter.pipelines import derive

Content = dict[str, Any]
UNKNOWN = "$glob.glob('*')"
ZSCORE = {"_target_": "NormalizeIntensityd", "keys": "image"}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose config each test writes anew."""
    folder = tmp_path_factory.mktemp("gaps") / "spleen"
    write_bundle(folder)
    return folder


def before(*chain: Any) -> Content:
    content = config()
    content["preprocessing"]["transforms"][4:5] = chain
    return content


def after(*chain: Any) -> Content:
    return config(postprocessing={"_target_": "Compose", "transforms": list(chain)})


def inferer(**changes: Any) -> Content:
    content = config()
    content["inferer"] |= changes
    return content


def spacing(**changes: Any) -> Content:
    content = config()
    content["preprocessing"]["transforms"][3] |= changes
    return content


def oriented(**changes: Any) -> Content:
    content = config()
    content["preprocessing"]["transforms"][2] |= changes
    return content


def image(name: str, **arguments: Any) -> Content:
    return {"_target_": name, "keys": "image", **arguments}


def pred(name: str, **arguments: Any) -> Content:
    return {"_target_": name, "keys": "pred", **arguments}


SCALED = {**RANGE, "clip": True}
CASES: dict[str, tuple[Content, str]] = {
    "keys": (before({**SCALED, "keys": UNKNOWN}), r"ScaleIntensityRange: \$glob.* by running code only \(--spec"),
    "one of the keys": (before({**SCALED, "keys": ["label", UNKNOWN]}), r"ScaleIntensityRange: \$glob"),
    "disabled": (before({**SCALED, "_disabled_": UNKNOWN}), r"ScaleIntensityRange: \$glob"),
    "clip": (before({**SCALED, "clip": UNKNOWN}), r"ScaleIntensityRange: .*clip: \$glob"),
    "nonzero": (before({**ZSCORE, "nonzero": UNKNOWN}), r"NormalizeIntensity: .*nonzero: \$glob"),
    "relative": (
        before(
            image("ScaleIntensityRangePercentilesd", lower=1, upper=99, b_min=0, b_max=1, clip=True, relative=UNKNOWN)
        ),
        r"relative: \$glob",
    ),
    "an argument of another MONAI": (before({**ZSCORE, "robust": True}), r"NormalizeIntensity: robust: True is not"),
    "a whole chain": (config(preprocessing=UNKNOWN), r"preprocessing: \$glob.* is not a transform"),
    "a mode": (before({**SCALED, "_mode_": "callable"}), r"its _mode_ is callable"),
    "another module": (
        before({**SCALED, "_target_": "scripts.ScaleIntensityRanged"}),
        r"scripts\.ScaleIntensityRanged is",
    ),
    "another key": (config(preprocessing=[{**SCALED, "keys": "img"}]), r"no preprocessing is for 'image'"),
    "a copy over the image": (
        before(SCALED, {"_target_": "CopyItemsd", "keys": "ct", "names": "image"}),
        r"CopyItems: it makes image of ct",
    ),
    "crop, then statistics": (
        before(image("CropForegroundd", source_key="image"), ZSCORE),
        r"NormalizeIntensity: it takes statistics after CropForeground",
    ),
    "pad, then extremes": (
        before(image("SpatialPadd", spatial_size=[64, 64, 64]), image("ScaleIntensityd")),
        r"ScaleIntensity: it takes statistics after SpatialPad",
    ),
    "a lambda": (
        before(SCALED, image("Lambdad", func="$lambda x: x * 2")),
        r"Lambda is not supported, and the network",
    ),
    "a threshold on intensities": (before(image("ThresholdIntensityd", threshold=0)), r"ThresholdIntensity is not"),
    "integers": (before(SCALED, image("CastToTyped", dtype="$np.uint8")), r"CastToType: it casts the image to uint8"),
    "a clip on one side": (
        before(image("ScaleIntensityRanged", a_min=0, a_max=1, b_min=0, clip=True)),
        "ScaleIntensityRange: it clips on one side only",
    ),
    "integers in a range": (before({**SCALED, "dtype": "$np.int16"}), r"ScaleIntensityRange: it casts"),
    "a negative factor": (before(SCALED, image("ScaleIntensityd", minv=None, maxv=None, factor=-2)), r"its factor -2"),
    "lazy": (
        config(preprocessing={**config()["preprocessing"], "lazy": True}),
        r"Compose: lazy resampling is not supported",
    ),
    "nearest": (spacing(mode="nearest"), r"Spacing: mode nearest .*\(--spec FILE with patch: \{spacing, grid"),
    "a spline": (spacing(mode=3), r"Spacing: mode 3"),
    "zeros beyond the image": (spacing(padding_mode="zeros"), r"Spacing: padding_mode zeros"),
    "whole extent": (spacing(scale_extent=True), r"Spacing: scale_extent: True"),
    "a spacing that only code can tell": (spacing(pixdim=UNKNOWN), r"Spacing: \$glob.*\(--spec FILE with patch"),
    "a second spacing": (before(image("Spacingd", pixdim=1.0), SCALED), r"Spacing: it resamples the image a second"),
    "a second orientation": (before(image("Orientationd", axcodes="SAR"), SCALED), r"Orientation: it follows Spacing"),
    "too few values for keys": (
        before({**SCALED, "keys": "image"}, pred("EnsureTyped"), image("EnsureTyped", dtype=["float32", "float32"])),
        r"EnsureType: dtype has 2 values for 1 keys",
    ),
    "axes that are none": (oriented(axcodes="ras"), r"Orientation: ras does not give the directions of three axes"),
    "axes twice": (oriented(axcodes=["RL", "AP", "SI"]), r"Orientation: RLAPSI does not give"),
    "an axis taken for channels": (
        config(preprocessing=[image("EnsureChannelFirstd", channel_dim=0)]),
        r"EnsureChannelFirst: channel_dim 0 takes an axis of the image",
    ),
    "axes in another order": (
        config(preprocessing=[image("LoadImaged", reverse_indexing=True)]),
        r"LoadImage: reverse_indexing: True is not supported",
    ),
    "a reader": (config(preprocessing=[image("LoadImaged", reader="PILReader")]), r"LoadImage: reader PILReader"),
    "an array without spacing": (
        config(preprocessing=[image("EnsureTyped", data_type="numpy"), image("Spacingd", pixdim=1.0)]),
        r"Spacing: it follows EnsureType, after which MONAI knows neither",
    ),
    "softmax along an axis": (
        after(pred("Activationsd", softmax=True, dim=1)),
        r"Activations: it goes along axis 1, expected that of the channels, 0",
    ),
    "argmax along an axis": (after(pred("AsDiscreted", argmax=True, dim=-1)), r"AsDiscrete: it goes along axis -1"),
    "whole numbers of the output": (after(pred("AsDiscreted", rounding="torchrounding")), r"rounding without an acti"),
    "bytes of the output": (
        after(pred("Activationsd", softmax=True), pred("CastToTyped", dtype="$torch.uint8")),
        r"CastToType: it casts the network's output to uint8, before labels are decided",
    ),
    "a function at Invert": (
        after(pred("Invertd", transform="@preprocessing", post_func="$torch.sigmoid")),
        r"Invert: post_func: \$torch\.sigmoid is not supported",
    ),
    "softmax": (after(pred("Activationsd", softmax=UNKNOWN)), r"Activations: \$glob.*\(--spec FILE with output"),
    "another activation": (
        after(pred("Activationsd", other="$torch.tanh")),
        r"Activations: other: \$torch\.tanh is not",
    ),
    "argmax": (after(pred("AsDiscreted", argmax=UNKNOWN)), r"AsDiscrete: \$glob"),
    "a threshold": (after(pred("AsDiscreted", threshold=UNKNOWN)), r"AsDiscrete: \$glob"),
    "argmax and threshold": (
        after(pred("AsDiscreted", argmax=True, threshold=0.5)),
        r"argmax and a threshold together",
    ),
    "an impossible probability": (
        after(pred("Activationsd", sigmoid=True), pred("AsDiscreted", threshold=1.5)),
        r"threshold 1\.5 is not a probability",
    ),
    "activation after labels": (
        after(pred("AsDiscreted", argmax=True), pred("Activationsd", softmax=True)),
        r"it follows another activation or AsDiscrete",
    ),
    "labels of another key": (
        after({"_target_": "AsDiscreted", "keys": "seg", "argmax": True}),
        r"no postprocessing is for 'pred'",
    ),
    "a blend": (inferer(mode=UNKNOWN), r"inferer's \$glob.*\(--spec FILE with patch\.blend"),
    "another blend": (inferer(mode="linear"), r"mode linear is not supported"),
    "sigma per axis": (inferer(mode="gaussian", sigma_scale=[0.1, 0.1, 0.2]), r"sigma_scale .* differs between axes"),
    "overlap per axis": (inferer(overlap=[0.5, 0.5, 0.25]), r"overlap .* differs between axes"),
    "a weight map": (inferer(roi_weight_map="@weights"), r"roi_weight_map: .* is not supported"),
    "coordinates": (inferer(with_coord=True), r"with_coord: True is not supported"),
    "reflected": (inferer(padding_mode="reflect"), r"padding_mode reflect is not supported"),
    "a padding": (inferer(cval=UNKNOWN), r"inferer's \$glob"),
    "whole images": (inferer(_target_="SimpleInferer"), r"SimpleInferer gives the network whole images.*--patch"),
    "an inferer of the bundle": (inferer(_target_="scripts.SlidingWindowInferer"), r"inferer scripts\.Sliding"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_gap_is_named(case: str, bundle: Path) -> None:
    content, expected = CASES[case]
    (bundle / "configs" / "inference.json").write_text(json.dumps(content))
    with pytest.raises(InvalidArgument, match=expected):
        derive(bundle)


SOFTMAX, ARGMAX = pred("Activationsd", softmax=True), pred("AsDiscreted", argmax=True)
LINEAR = pred("Invertd", transform="@preprocessing", nearest_interp=False)
NOTES: dict[str, tuple[Content, str]] = {
    "labels": (after(SOFTMAX, ARGMAX, LINEAR), "the bundle interpolates the numbers of labels"),
    "before an activation": (after(LINEAR, SOFTMAX, ARGMAX), "interpolates the network's output"),
    "probabilities": (
        after(SOFTMAX, LINEAR, pred("AsDiscreted", threshold=0.5)),
        "where windows overlap, the gateway averages probabilities",
    ),
    "spacing, then axes": (
        config(preprocessing=[image("Spacingd", pixdim=1.0), image("Orientationd", axcodes="LPS")]),
        "Spacing: it comes before Orientation",
    ),
    "no decision": (after(SOFTMAX, LINEAR), "no AsDiscrete decides between labels: the largest wins"),
}


@pytest.mark.parametrize("case", NOTES)
def test_what_is_interpolated_otherwise_is_noted(case: str, bundle: Path) -> None:
    content, expected = NOTES[case]
    (bundle / "configs" / "inference.json").write_text(json.dumps(content))
    assert any(expected in note for note in derive(bundle).notes)
    (bundle / "configs" / "inference.json").write_text(json.dumps(after(SOFTMAX, LINEAR, ARGMAX)))
    assert derive(bundle).notes == ()


def test_a_config_without_preprocessing_says_what_it_has(bundle: Path) -> None:
    content = config()
    content["train_transforms"] = content.pop("preprocessing")
    content["val_transforms"] = content["train_transforms"]
    (bundle / "configs" / "inference.json").write_text(json.dumps(content))
    given: dict[str, Content] = {"network": {"axes": "RAS"}, "patch": {"spacing": [1.0, 1.0, 1.0]}}
    with pytest.raises(InvalidArgument, match=r"no preprocessing; it has transforms under train_transforms, val_tran"):
        derive(bundle, **given)
    channels = [{"kind": "image", "intensity": {"method": "range", "low": -57, "high": 164}}]
    with pytest.raises(InvalidArgument, match=r"-1\.\.1 times scale, plus offset\) \(--spec FILE with network"):
        derive(bundle, **given, input={"channels": channels})
    given["network"] |= {"scale": [0.5], "offset": [0.5]}
    assert derive(bundle, **given, input={"channels": channels}).spec.network is not None


# Weights


def loader(**changes: Any) -> Content:
    content = config()
    content["handlers"][0] |= changes
    return content


def several(folder: Path) -> None:
    for name in ("best.pt", "last.pt"):
        (folder / "models" / name).write_bytes((folder / "models" / "model.pt").read_bytes())


WEIGHTS: dict[str, tuple[Content, str]] = {
    "a path that only code can tell": (loader(load_path=UNKNOWN), r"\$glob.*--weights \(in models: best\.pt, last\.pt"),
    "a missing file": (loader(load_path="$@bundle_root + '/models/other.pt'"), r"no models/other\.pt"),
    "no network among several": (
        loader(load_dict={"model": "@averaged", "optimizer": "@optimizer"}),
        r"which entry of its weights is the network's \(load_dict\)",
    ),
    "entries that only code can tell": (loader(load_dict="$dict(model=@network)"), r"which entry of its weights"),
}


@pytest.mark.parametrize("case", WEIGHTS)
def test_weights_that_are_not_stated_are_asked_for(case: str, tmp_path: Path) -> None:
    content, expected = WEIGHTS[case]
    write_bundle(tmp_path / "spleen")
    several(tmp_path / "spleen")
    (tmp_path / "spleen" / "configs" / "inference.json").write_text(json.dumps(content))
    with pytest.raises(InvalidArgument, match=expected):
        derive(tmp_path / "spleen")


def test_the_only_file_of_weights_needs_no_path(tmp_path: Path) -> None:
    write_bundle(tmp_path / "spleen", loader(load_path=UNKNOWN))
    (tmp_path / "spleen" / "models" / "model.pt").rename(tmp_path / "spleen" / "models" / "best.pt")
    assert derive(tmp_path / "spleen").spec.labels == ("spleen",)


# Other kinds of bundles


def kind(network: Content, **changes: Any) -> tuple[Content, Content]:
    return config(network_def=network), metadata(**changes)


def two_dimensional(about: Content) -> None:
    about["network_data_format"]["inputs"]["image"]["spatial_shape"] = [512, 512]


def detector(about: Content) -> None:
    about["network_data_format"]["outputs"]["pred"] |= {"type": "object", "spatial_shape": [1]}


KINDS: dict[str, tuple[Content, Callable[[Content], None] | None, str]] = {
    "2D": ({"_target_": "UNet", "spatial_dims": 2}, None, "is a 2D network: expected a network that segments 3D"),
    "2D by its metadata": ({"_target_": "scripts.Own"}, two_dimensional, "is a 2D network"),
    "classifier": ({"_target_": "DenseNet121", "spatial_dims": 3}, None, r"is a classifier \(DenseNet121\)"),
    "detector": ({"_target_": "monai.apps.detection.networks.retinanet_network.RetinaNet"}, None, "is a detector"),
    "detector by its metadata": (
        {"_target_": "scripts.Own"},
        detector,
        r"is a detector \(its output is of type object",
    ),
    "generator": ({"_target_": "monai.networks.nets.AutoencoderKL"}, None, "is a generator of images"),
}


@pytest.mark.parametrize("case", KINDS)
def test_other_kinds_are_refused_by_what_they_are_before_anything_else(case: str, tmp_path: Path) -> None:
    network, change, expected = KINDS[case]
    write_bundle(tmp_path / "own")
    about = metadata()
    if change is not None:
        change(about)
    (tmp_path / "own" / "configs" / "inference.json").write_text(json.dumps({"network_def": network}))
    (tmp_path / "own" / "configs" / "metadata.json").write_text(json.dumps(about))
    (tmp_path / "own" / "models" / "model.pt").unlink()
    with pytest.raises(InvalidArgument, match=expected):
        derive(tmp_path / "own")


def test_a_file_without_the_entry_that_load_dict_names_is_refused(tmp_path: Path) -> None:
    from exporter.sources.bundle.load import load_bundle

    write_bundle(tmp_path / "spleen", loader(load_dict={"ema": "@network"}))
    path = tmp_path / "spleen" / "models" / "model.pt"
    torch.save({"model": torch.load(path, weights_only=True)}, path)
    with pytest.raises(InvalidArgument, match=r"no weights under 'ema', which the config loads; it has: model"):
        load_bundle(tmp_path / "spleen", weights=None, overrides={}, ignore=(), folder=tmp_path)
