"""MONAI bundles: the spec has what their configs state, and the export agrees with MONAI."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.bundle.config_parser import ConfigParser
from monai.bundle.scripts import ckpt_export
from monai.data.meta_tensor import MetaTensor
from monai.transforms.compose import Compose

from exporter.graph.adapters import InputAdapter
from exporter.parity.compare import probabilities, run_onnx
from exporter.repository.config import ModelConfig
from exporter.sources.bundle.source import open_bundle
from exporter.sources.bundle.spec import DerivedSpec, read_bundle
from sixpoint.model_spec import ModelSpec
from sixpoint.preprocessing import volume_input
from tests.exporter.bundles import NETWORKS, RANGE, UNET, config, deep_edit, metadata, write_bundle, zipped
from tests.exporter.command_line import run

CHAINS: dict[str, list[dict[str, Any]]] = {
    "range": [{**RANGE, "clip": True}],
    "range, not clipped": [{**RANGE, "b_min": -2.0, "b_max": 3.0}],
    "range without an end": [{"_target_": "ScaleIntensityRanged", "keys": "image", "a_min": -57, "a_max": 164}],
    "z-score": [{"_target_": "NormalizeIntensityd", "keys": "image"}],
    "z-score without background": [{"_target_": "NormalizeIntensityd", "keys": ["image"], "nonzero": True}],
    "given mean": [{"_target_": "NormalizeIntensityd", "keys": "image", "subtrahend": 40, "divisor": 25.0}],
    "range, then given mean": [
        {**RANGE, "clip": True},
        {"_target_": "NormalizeIntensityd", "keys": "image", "subtrahend": 0.4, "divisor": 0.2},
    ],
    "least and largest": [{"_target_": "ScaleIntensityd", "keys": "image", "minv": -1.0, "maxv": 1.0}],
    "as whole body": [
        {"_target_": "NormalizeIntensityd", "keys": "image", "nonzero": True},
        {"_target_": "ScaleIntensityd", "keys": "image", "minv": -1.0, "maxv": 1.0},
    ],
    "as prostate": [
        {"_target_": "ScaleIntensityd", "keys": "image", "minv": 0, "maxv": 1},
        {"_target_": "NormalizeIntensityd", "keys": "image"},
    ],
    "nothing": [],
}


def steps(chain: list[dict[str, Any]], axes: str = "RAS") -> dict[str, Any]:
    before = [
        {"_target_": "LoadImaged", "keys": "image"},
        {"_target_": "EnsureChannelFirstd", "keys": "image"},
        {"_target_": "Orientationd", "keys": "image", "axcodes": axes},
        {"_target_": "Spacingd", "keys": "image", "pixdim": [1.5, 1.5, 2.0], "mode": "bilinear"},
    ]
    return {"_target_": "Compose", "transforms": [*before, *chain, {"_target_": "EnsureTyped", "keys": "image"}]}


def reading(folder: Path, given: dict[str, Any] | None = None) -> DerivedSpec:
    with open_bundle(folder) as bundle:
        return read_bundle(bundle, overrides=given or {})


def image(size: tuple[int, int, int] = (32, 32, 16)) -> np.ndarray:
    """A canonical image [z, y, x], a third of it cut out."""
    x, y, z = size
    values = np.random.default_rng(0).normal(60, 70, (z, y, x)).astype(np.float32)
    values[:, : y // 3] = 0
    return values


def as_monai(voxels: np.ndarray, content: dict[str, Any]) -> torch.Tensor:
    """Apply MONAI's own preprocessing to a canonical image [z, y, x]; returns [channel, axes of the bundle]."""
    parser = ConfigParser({"transforms": content["preprocessing"]["transforms"][2:]})
    compose = Compose(parser.get_parsed_content("transforms"))
    affine = np.diag([-1.5, -1.5, 2.0, 1.0])  # canonical: x to the left, y to the back, z upwards
    stored = MetaTensor(np.ascontiguousarray(voxels.transpose(2, 1, 0))[None], affine=torch.from_numpy(affine))
    result: torch.Tensor = compose({"image": stored})["image"].as_tensor()
    return result.float()


def ours(voxels: np.ndarray, spec: ModelSpec) -> torch.Tensor:
    """Return the network's input by the exported adapters."""
    single = spec.model_copy(update={"input": spec.input.model_copy(update={"dtype": "FP32"})})
    return InputAdapter(single)(torch.from_numpy(volume_input(voxels, single.input)[None]))[0]


@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.parametrize("axes", ["RAS", "PLI"])
def test_the_networks_input_equals_monais(chain: str, axes: str, tmp_path: Path) -> None:
    content = config(preprocessing=steps(CHAINS[chain], axes))
    write_bundle(tmp_path / "bundle", content)
    voxels = image()
    expected = as_monai(voxels, content)
    found = ours(voxels, reading(tmp_path / "bundle").spec)
    assert found.shape == expected.shape
    assert np.allclose(found, expected, atol=2e-4 * max(1.0, float(expected.abs().max())))


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_export_agrees_with_monai(kind: str, tmp_path: Path) -> None:
    size = (32, 32, 16)
    content = config(network_def=NETWORKS[kind], preprocessing=steps([{**RANGE, "clip": True}]))
    content["inferer"]["roi_size"] = list(size)
    network = write_bundle(tmp_path / "bundle", content, yaml=kind == "SegResNet")
    result = run("export", zipped(tmp_path / "bundle"), "--repository", tmp_path / "repository")
    assert result.exit_code == 0, result.stderr
    voxels = image(size)
    with torch.inference_mode():
        answer = torch.softmax(network(as_monai(voxels, content)[None]), dim=1)[0].numpy()
    assert np.ptp(answer[1]) > 0.1  # outputs that vary make the comparison below meaningful
    expected = answer.transpose(0, 3, 2, 1)[:, :, ::-1, ::-1]  # from R, A, S to [z, y, x]
    spec = ModelConfig.read(tmp_path / "repository" / "bundle").spec
    assert spec is not None
    found = run_onnx(
        tmp_path / "repository" / "bundle" / "1" / "model.onnx", spec, volume_input(voxels, spec.input)[None]
    )
    assert np.abs(probabilities(found, spec)[0] - expected).max() < 2 / 255


def test_the_spec_has_everything_that_a_bundle_states(tmp_path: Path) -> None:
    labels = {"0": "background", "1": "liver", "2": "tumour"}
    preprocessing = steps([{"_target_": "CropForegroundd", "keys": "image", "source_key": "image"}])
    preprocessing["transforms"][3]["pixdim"] = [1, 2, 3]
    content = config(
        classes=["background", "liver", "tumour"],
        highres=False,
        preprocessing=preprocessing,
        inferer={
            "_target_": "monai.inferers.SlidingWindowInferer",
            "roi_size": "$[64, 32, 16] if @highres else [32, 16, 16]",
            "overlap": 0.625,
            "mode": "gaussian",
            "padding_mode": "replicate",
        },
        postprocessing=[
            {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
            {"_target_": "KeepLargestConnectedComponentd", "keys": "pred", "applied_labels": [1]},
        ],
    )
    content["preprocessing"]["transforms"][2]["axcodes"] = "SAR"
    content["network_def"] = {**UNET, "strides": [2, "$4 // 2"], "img_size": 96} | {
        "_target_": "monai.networks.nets.UNet"
    }
    del content["network_def"]["img_size"]
    write_bundle(tmp_path / "liver", content, metadata(labels))
    spec, notes = reading(tmp_path / "liver").spec, reading(tmp_path / "liver").notes
    assert spec.labels == ("liver", "tumour")
    assert spec.modalities == ("CT",)
    assert spec.licence == "Apache-2.0"
    assert spec.metrics == {"mean_dice": 0.96}
    assert spec.provenance["bundle_version"] == "0.5.4"
    assert spec.patch is not None
    assert spec.patch.size == (16, 16, 32)
    assert spec.patch.spacing == (3, 2, 1)
    assert (spec.patch.overlap, spec.patch.blend, spec.patch.padding) == (0.625, "gaussian", "replicate")
    assert spec.network is not None
    assert (spec.network.axes, spec.network.arguments["strides"]) == ("SAR", [2, 2])
    assert [note.partition(":")[0] for note in notes] == ["CropForeground", "KeepLargestConnectedComponent"]


def test_overlapping_labels_are_thresholded_independently(tmp_path: Path) -> None:
    content = config(network_def={**UNET, "out_channels": 3})
    content["postprocessing"]["transforms"] = [
        {"_target_": "Activationsd", "keys": "pred", "sigmoid": True},
        {"_target_": "AsDiscreted", "keys": "pred", "threshold": 0.4},
    ]
    write_bundle(tmp_path / "brain", content, metadata({"0": "core", "1": "whole", "2": "enhancing"}))
    spec = reading(tmp_path / "brain").spec
    assert spec.labels == ("core", "whole", "enhancing")
    assert (spec.output.exclusive, spec.output.threshold) == (False, 0.4)
    assert spec.output_shape[0] == 3


@pytest.mark.parametrize(
    ("steps_after", "labels", "order"),
    [
        ([{"softmax": True}, {"threshold": 0.6}], {"0": "background", "1": "spleen"}, [1]),
        ([{"softmax": True}, {"argmax": True}], {"0": "spleen", "1": "background"}, [1, 0]),
    ],
)
def test_each_label_uses_its_channel_and_the_bundles_activation(
    steps_after: list[dict[str, Any]], labels: dict[str, str], order: list[int], tmp_path: Path
) -> None:
    content = config()
    content["postprocessing"]["transforms"] = [
        {"_target_": name, "keys": "pred", **arguments}
        for name, arguments in zip(("Activationsd", "AsDiscreted"), steps_after, strict=True)
    ]
    network = write_bundle(tmp_path / "bundle", content, metadata(labels))
    result = run("export", tmp_path / "bundle", "--repository", tmp_path / "repository")
    assert result.exit_code == 0, result.stderr
    spec = ModelConfig.read(tmp_path / "repository" / "bundle").spec
    assert spec is not None
    voxels = image()
    with torch.inference_mode():
        answer = torch.softmax(network(as_monai(voxels, content)[None]), dim=1)[0, order].numpy()
    expected = answer.transpose(0, 3, 2, 1)[:, :, ::-1, ::-1]  # from R, A, S to [z, y, x]
    found = run_onnx(
        tmp_path / "repository" / "bundle" / "1" / "model.onnx", spec, volume_input(voxels, spec.input)[None]
    )
    assert np.abs(probabilities(found, spec)[0] - expected).max() < 2 / 255


def test_labels_are_read_under_either_name(tmp_path: Path) -> None:
    about = metadata()
    output = about["network_data_format"]["outputs"]["pred"]
    output["label_def"] = {**output.pop("channel_def"), "1": "pancreas"}
    write_bundle(tmp_path / "bundle", about=about)
    assert reading(tmp_path / "bundle").spec.labels == ("pancreas",)


def test_labels_from_flags_skip_the_background_of_a_softmax(tmp_path: Path) -> None:
    content = config(network_def={**UNET, "out_channels": 3})
    content["postprocessing"]["transforms"] = [
        {"_target_": "Activationsd", "keys": "pred", "softmax": True},
        {"_target_": "AsDiscreted", "keys": "pred", "threshold": 0.5},
    ]
    write_bundle(tmp_path / "bundle", content, metadata({}))
    spec = reading(tmp_path / "bundle", {"labels": ["liver", "tumour"]}).spec
    assert spec.network is not None
    assert (spec.network.activation, spec.network.channels) == ("softmax", (1, 2))


def test_click_channels_give_an_annotation_model(tmp_path: Path) -> None:
    network = write_bundle(tmp_path / "deepedit", deep_edit())
    result = run("export", tmp_path / "deepedit", "--repository", tmp_path / "repository")
    assert result.exit_code == 0, result.stderr
    assert "note: the first click begins the object" in result.stdout
    spec = ModelConfig.read(tmp_path / "repository" / "deepedit").spec
    assert spec is not None
    assert [channel.kind for channel in spec.input.channels] == ["image", "clicks", "clicks"]
    assert spec.begun_by_clicks
    assert spec.roi.whole
    assert spec.roi.size == (32, 32, 32)
    assert spec.output_shape == (1, 32, 32, 32)
    batch = np.random.default_rng(0).random((1, 3, 32, 32, 32)).astype(np.float16)
    seen = torch.from_numpy(batch).float() * torch.tensor([0.5, 1, 1]).reshape(1, 3, 1, 1, 1)
    seen[:, 0] += 0.5
    with torch.inference_mode():
        answer = torch.softmax(network(seen.permute(0, 1, 4, 3, 2).flip((2, 3))), dim=1)[:, 1:2]
    expected = answer.flip((2, 3)).permute(0, 1, 4, 3, 2).numpy()
    found = probabilities(run_onnx(tmp_path / "repository" / "deepedit" / "1" / "model.onnx", spec, batch), spec)
    assert np.abs(found - expected).max() < 2 / 255


def test_weights_are_read_from_torchscript_that_monai_exported(tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    write_bundle(folder)
    models, configs = folder / "models", folder / "configs"
    ckpt_export(
        "network_def",
        filepath=str(models / "model.ts"),
        ckpt_file=str(models / "model.pt"),
        meta_file=str(configs / "metadata.json"),
        config_file=str(configs / "inference.json"),
    )
    repository = tmp_path / "repository"
    assert run("export", folder, "--name", "a", "--repository", repository).exit_code == 0
    (models / "model.pt").unlink()
    trust = ("--trust-torchscript", "--repository", repository)
    result = run("export", folder, "--name", "b", *trust)
    assert result.exit_code == 0, result.stderr
    first, second = ((repository / name / "1" / "model.onnx") for name in "ab")
    spec = reading(folder).spec
    batch = volume_input(image(), spec.input)[None]
    assert np.array_equal(run_onnx(first, spec, batch), run_onnx(second, spec, batch))
    # If the config's network cannot be built, the network in the TorchScript file is used.
    path = configs / "inference.json"
    path.write_text(path.read_text().replace('"UNet"', '"scripts.networks.Own"'))
    result = run("export", folder, "--name", "c", *trust)
    assert result.exit_code == 0, result.stderr
    assert (
        np.abs(run_onnx(first, spec, batch).astype(float) - run_onnx(repository / "c/1/model.onnx", spec, batch)).max()
        <= 1 / 255
    )


def test_a_bundle_of_realistic_size(tmp_path: Path) -> None:
    """The network of the model zoo's ``spleen_ct_segmentation``."""
    content = config(
        network_def={**UNET, "channels": [16, 32, 64, 128, 256], "strides": [2, 2, 2, 2], "num_res_units": 2}
    )
    content["inferer"]["roi_size"] = [96, 96, 96]
    write_bundle(tmp_path / "spleen", content)
    result = run("export", tmp_path / "spleen", "--repository", tmp_path / "repository")
    assert result.exit_code == 0, result.stderr
    assert "against pytorch (phantom): largest difference 0.00" in result.stdout
