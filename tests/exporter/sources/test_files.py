"""ONNX and TorchScript files with a spec, and Clara models."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import yaml
from monai.networks.nets.unet import UNet

from exporter.graph.external_data import iter_tensors
from exporter.parity.compare import probabilities, run_onnx
from exporter.parity.inputs import synthetic_batch
from exporter.repository.config import ModelConfig
from exporter.sources.options import ExportOptions, spec_of_file
from sixpoint.model_spec import LICENCE_NOTE
from tests.exporter.command_line import run
from tests.exporter.specs import SEGMENTATION

CLARA: dict[str, Any] = {
    "version": "3",
    "type": "segmentation",
    "labels": ["background", "spleen"],
    "description": "Spleen of CT",
    "pre_transforms": [
        {"name": "monai.transforms.LoadImaged", "args": {"keys": "image"}},
        {"name": "monai.transforms.Orientationd", "args": {"keys": "image", "axcodes": "RAS"}},
        {"name": "monai.transforms.Spacingd", "args": {"keys": "image", "pixdim": [1.0, 1.0, 1.0]}},
        {
            "name": "monai.transforms.ScaleIntensityRanged",
            "args": {"keys": "image", "a_min": -100, "a_max": 300, "b_min": 0, "b_max": 1, "clip": True},
        },
    ],
    "inference": {
        "input": "image",
        "output": "model",
        "AIAA": {
            "name": "aiaa.inference.PyTorchInference",
            "args": {"scanning_window": True, "roi": [24, 16, 16], "overlap": 0.5, "device": "cuda"},
        },
    },
    "post_transforms": [
        {"name": "monai.transforms.Activationsd", "args": {"keys": "model", "softmax": True}},
        {"name": "monai.transforms.AsDiscreted", "args": {"keys": "model", "argmax": True}},
        {"name": "aiaa.transforms.Restored", "args": {"keys": "model", "ref_image": "image"}},
    ],
    "writer": {"name": "aiaa.transforms.Writer", "args": {"image": "model"}},
}


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    torch.manual_seed(0)
    result = UNet(3, 1, 2, (4, 8), (2,), num_res_units=1).eval()
    for value in result.parameters():
        value.data *= 2
    return result


@pytest.fixture(scope="module")
def original(network: torch.nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("original") / "model.onnx"
    sample = torch.zeros(2, 1, 24, 16, 16)
    torch.onnx.export(
        network, (sample,), path, dynamo=True, external_data=False, dynamic_shapes=({0: torch.export.Dim("batch")},)
    )
    return path


def save_traced(network: torch.nn.Module, path: Path) -> None:
    torch.jit.trace(network, torch.zeros(1, 1, 24, 16, 16)).save(path)  # type: ignore[no-untyped-call]


def check_answers(network: torch.nn.Module, repository: Path, name: str) -> None:
    """Check that the model agrees with its network, with permuted axes and scaled intensities."""
    spec = ModelConfig.read(repository / name).spec
    assert spec is not None
    batch = synthetic_batch(spec, 2)
    seen = (torch.from_numpy(batch).float() * 0.5 + 0.5).permute(0, 1, 4, 3, 2).flip((2, 3))
    with torch.inference_mode():
        answer = torch.softmax(network(seen), dim=1).flip((2, 3)).permute(0, 1, 4, 3, 2).numpy()
    assert np.ptp(answer) > 0.1
    found = probabilities(run_onnx(repository / name / "1" / "model.onnx", spec, batch), spec)
    assert np.abs(found - answer).max() < 2 / 255
    assert json.loads(run("validate", repository, "--json").stdout)["valid"]


def test_an_onnx_file_is_exported_by_its_spec(
    network: Any, original: Path, segmentation_spec: Path, tmp_path: Path
) -> None:
    result = run(
        "export", original, "--spec", segmentation_spec, "--name", "liver", "--repository", tmp_path / "repository"
    )
    assert result.exit_code == 0, result.stderr
    check_answers(network, tmp_path / "repository", "liver")


@pytest.mark.parametrize("how", ["trace", "script"])
def test_a_torchscript_file_is_exported_by_its_spec(
    how: str, network: Any, segmentation_spec: Path, tmp_path: Path
) -> None:
    path = tmp_path / "model.ts"
    if how == "script":
        torch.jit.script(network).save(path)
    else:
        save_traced(network, path)
    result = run("export", path, "--trust-torchscript", "--repository", tmp_path / "repository")  # spec.yaml beside it
    assert result.exit_code == 0, result.stderr
    check_answers(network, tmp_path / "repository", "model")


def test_a_clara_model_describes_itself(network: Any, tmp_path: Path) -> None:
    folder = tmp_path / "spleen"
    folder.mkdir()
    (folder / "config_aiaa.json").write_text(json.dumps(CLARA))
    save_traced(network, folder / "model.ts")
    result = run("export", folder, "--trust-torchscript", "--repository", tmp_path / "repository")
    assert result.exit_code == 0, result.stderr
    spec = ModelConfig.read(tmp_path / "repository" / "spleen").spec
    assert spec is not None
    assert spec.patch is not None
    assert (spec.labels, spec.patch.size, spec.patch.overlap) == (("spleen",), (24, 16, 16), 0.5)
    check_answers(network, tmp_path / "repository", "spleen")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"type": "deepgrow"}, "of type deepgrow"),
        ({"pre_transforms": []}, "--axes, as RAS.*--spacing"),
        ({"inference": {}}, "no scanning_window .*--patch"),
        ({"labels": []}, "--labels"),
    ],
)
def test_fields_missing_from_a_clara_config_are_reported(
    change: dict[str, Any], expected: str, network: Any, tmp_path: Path
) -> None:
    (tmp_path / "config_aiaa.json").write_text(json.dumps({**CLARA, **change}))
    save_traced(network, tmp_path / "model.ts")
    result = run("export", tmp_path, "--name", "spleen", "--repository", tmp_path / "repository")
    assert result.exit_code == 3
    assert re.search(expected, result.stderr)


# Invalid files


def newer(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 25


def foreign(model: onnx.ModelProto) -> None:
    model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
    model.graph.node[-1].domain = "com.microsoft"


def spoil(model: onnx.ModelProto) -> None:
    weight = next(tensor for tensor in model.graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT)
    values = onnx.numpy_helper.to_array(weight).copy()
    values[...] = np.nan
    weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))


def fix_batch(model: onnx.ModelProto) -> None:
    """Reshape the output to the shape for one image."""
    output = model.graph.output[0]
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([1, 2, 24, 16, 16]), "shape"))
    model.graph.node.append(onnx.helper.make_node("Reshape", [output.name, "shape"], ["fixed"]))
    output.name = "fixed"


def cube(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 16


def whole_numbers(model: onnx.ModelProto) -> None:
    """Put numbers of labels in the place of the output, after one of another size."""
    output = model.graph.output[0]
    small = onnx.helper.make_tensor_value_info("small", onnx.TensorProto.FLOAT, ["n", 2, 1, 1, 1])
    labels = onnx.helper.make_tensor_value_info("labels", onnx.TensorProto.INT64, ["n", 2, 24, 16, 16])
    model.graph.node.append(onnx.helper.make_node("GlobalAveragePool", [output.name], ["small"]))
    model.graph.node.append(onnx.helper.make_node("Cast", [output.name], ["labels"], to=onnx.TensorProto.INT64))
    del model.graph.output[:]
    model.graph.output.extend([small, labels])


CASES: dict[str, tuple[Callable[[onnx.ModelProto], None] | None, dict[str, Any], str]] = {
    "an opset too new": (newer, {}, r"opset 25, expected 13 to 21: export it again with opset_version=18"),
    "operators of somebody": (foreign, {}, r"operators of com\.microsoft"),
    "NaN weights": (spoil, {}, r"weights that are NaN or infinite"),
    "one batch size": (fix_batch, {}, r"takes one batch size only: export it with a dynamic batch axis"),
    "another size": (
        None,
        {"patch": {"size": [32, 16, 16], "spacing": [1, 1, 1]}},
        r"takes \[1, 24, 16, 16\], and the spec expects \[1, 32, 16, 16\]",
    ),
    "another count of channels": (
        None,
        {"input": {"channels": SEGMENTATION["input"]["channels"] * 2}, "network": {"name": "ONNX"}},
        r"takes \[1, ",
    ),
    "sizes the other way round": (
        None,
        {"patch": {"size": [16, 16, 24], "spacing": [1, 1, 1]}},
        r"expects \[1, 16, 16, 24\]: patch\.size and patch\.spacing run along \(x, y, z\)",
    ),
    "another count of channels of a cube": (
        cube,
        {
            "patch": {"size": [16, 16, 16], "spacing": [1, 1, 1]},
            "input": {"channels": SEGMENTATION["input"]["channels"] * 2},
            "network": {"name": "ONNX"},
        },
        r"expects \[2, 16, 16, 16\]$",
    ),
    "an output of whole numbers": (whole_numbers, {}, r"has outputs of type INT64, expected FLOAT"),
    "another count of labels": (
        None,
        {"labels": ["a", "b"]},
        r"returns \[2, 24, 16, 16\], and the spec expects \[3, 24, 16, 16\]",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_an_unusable_onnx_file_is_reported_in_one_line(case: str, original: Path, tmp_path: Path) -> None:
    damage, change, expected = CASES[case]
    model = onnx.load(original)
    if damage is not None:
        damage(model)
    onnx.save(model, tmp_path / "model.onnx")
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump({**SEGMENTATION, **change}))
    result = run("export", tmp_path / "model.onnx", "--repository", tmp_path / "repository")
    assert result.exit_code in (3, 5)
    assert result.stderr.count("\n") == 1
    assert re.search(expected, result.stderr), result.stderr
    assert not (tmp_path / "repository").exists()


@pytest.mark.parametrize("name", ["model.onnx", "model.ts"])
def test_a_truncated_file_and_a_missing_spec_are_reported(
    name: str, original: Path, network: Any, tmp_path: Path
) -> None:
    save_traced(network, tmp_path / "model.ts")
    content = original.read_bytes() if name == "model.onnx" else (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content)
    result = run("export", tmp_path / name, "--repository", tmp_path / "repository")
    assert "name its spec with --spec" in result.stderr
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(SEGMENTATION))
    (tmp_path / name).write_bytes(content[:3000])
    result = run("export", tmp_path / name, "--trust-torchscript", "--repository", tmp_path / "repository")
    assert result.exit_code == 3
    assert "truncated" in result.stderr


# Publishing


def test_the_note_about_an_unknown_licence_goes_when_the_licence_is_stated(tmp_path: Path) -> None:
    provenance = {LICENCE_NOTE: "the licence of the data (liver) is not stated", "dataset": "liver"}
    mapping = {**SEGMENTATION, "licence": "unknown", "provenance": provenance}
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(mapping))
    source = tmp_path / "checkpoint.pt"
    assert spec_of_file(source, ExportOptions()).provenance == provenance
    stated = spec_of_file(source, ExportOptions(overrides={"licence": "MIT"}))
    assert (stated.licence, stated.provenance) == ("MIT", {"dataset": "liver"})


def test_an_onnx_file_is_published_with_its_record(original: Path, segmentation_spec: Path, tmp_path: Path) -> None:
    where = ("--name", "liver", "--repository", tmp_path / "repository")
    done = run("publish", original, "--spec", segmentation_spec, "--licence", "MIT", *where, "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["parity"]["reference"] == "onnx"
    folder = tmp_path / "repository" / "liver"
    record = json.loads((folder / "1" / "version.json").read_text())
    assert record["spec"]["licence"] == "MIT"
    assert record["spec"]["provenance"]["onnx_sha256"] == hashlib.sha256(original.read_bytes()).hexdigest()


@pytest.mark.parametrize("kind", ["onnx", "torchscript"])
def test_onnx_and_torchscript_networks_in_half_precision(
    kind: str, original: Path, network: Any, segmentation_spec: Path, tmp_path: Path
) -> None:
    path = original
    if kind == "torchscript":
        path = tmp_path / "model.ts"
        save_traced(network, path)
    where = ("--trust-torchscript", "--name", "half", "--repository", tmp_path / "repository")
    result = run("export", path, "--spec", segmentation_spec, "--precision", "fp16", *where)
    assert result.exit_code == 0, result.stderr
    model = onnx.load(tmp_path / "repository" / "half" / "1" / "model.onnx")
    weights = {one.data_type for one in iter_tensors(model) if np.prod(one.dims) > 16}
    assert weights == {onnx.TensorProto.FLOAT16}
    assert json.loads((tmp_path / "repository" / "half" / "1" / "version.json").read_text())["precision"] == "fp16"
    check_answers(network, tmp_path / "repository", "half")
