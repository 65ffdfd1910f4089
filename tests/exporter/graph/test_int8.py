"""Models in int8: calibrated on real images, judged by their masks."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import yaml
from onnx import numpy_helper

from exporter.graph.network import ProbabilityNetwork
from exporter.parity.calibration import calibration_inputs
from exporter.parity.compare import OnnxRunner
from exporter.parity.inputs import ParityInputs
from exporter.parity.measure import measure_quantised_parity
from sixpoint.errors import FailedPrecondition, InvalidArgument, VolumeError
from sixpoint.geometry import Geometry
from sixpoint.model_spec import ModelSpec
from sixpoint.phantom import make_phantom
from sixpoint.volume import Volume
from tests.exporter.command_line import run
from tests.exporter.specs import SEGMENTATION
from tests.support.models import write_ellipsoid_model
from tests.support.paths import TRITON_ENVIRONMENT
from tests.support.servers import running_triton


def mirrored(geometry: Geometry) -> Geometry:
    """The same grid with its first axis reversed."""
    x, y, z = geometry.index_to_point(np.array([[geometry.size[0] - 1, 0, 0]], np.float64))[0]
    matrix = np.array(geometry.direction, np.float64).reshape(3, 3) @ np.diag([-1.0, 1.0, 1.0])
    a, b, c, d, e, f, g, h, i = map(float, matrix.ravel())
    direction = (a, b, c, d, e, f, g, h, i)
    return Geometry(
        size=geometry.size, spacing=geometry.spacing, origin=(float(x), float(y), float(z)), direction=direction
    )


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images/ and labels/: the phantom twice, the second labels with a reversed axis."""
    folder = tmp_path_factory.mktemp("images")
    (folder / "images").mkdir()
    (folder / "labels").mkdir()
    phantom = make_phantom()
    for name in ("1", "2"):
        labels = np.where(phantom.labels.array <= 3, phantom.labels.array, 0).astype(np.uint8)
        geometry = phantom.image.geometry
        if name == "2":
            geometry = mirrored(geometry)
            labels = labels[:, :, ::-1].copy()
        phantom.image.write(folder / "images" / f"{name}.nii.gz")
        Volume(labels, geometry).write(folder / "labels" / f"{name}.nii.gz")
    return folder


def test_calibration_inputs_use_extreme_points_of_labels(images: Path, spec: ModelSpec) -> None:
    sample = calibration_inputs(images, spec)
    assert sample.source == "calibration"
    assert sample.batch.shape == (6, *spec.input_shape)  # three labels of two images
    heat = [channel.kind for channel in spec.input.channels].index("heatmap")
    assert (sample.batch[:, heat].reshape(6, -1).max(axis=1) > 0.5).all()
    # Labels stored with other axes give the same points, except for ties.
    for index in range(3):
        one, other = (sample.batch[number, heat].astype(float).ravel() for number in (index, 3 + index))
        assert np.corrcoef(one, other)[0, 1] > 0.9
    segmentation = ModelSpec.from_mapping({**SEGMENTATION, "network": {"name": "ONNX"}})
    assert calibration_inputs(images / "images", segmentation).batch.shape == (4, *segmentation.input_shape)


@pytest.mark.triton
def test_a_quantised_model_is_judged_by_its_masks_and_served_by_triton(
    checkpoint: Path, spec_file: Path, images: Path, tmp_path: Path
) -> None:
    if not TRITON_ENVIRONMENT.is_dir():
        pytest.skip("Triton is not installed: make triton")
    repository = tmp_path / "repository"
    write_ellipsoid_model(repository / "resident")
    where = ("--spec", spec_file, "--name", "tiny", "--repository", repository)
    with running_triton(repository) as running:
        done = run(
            *("publish", checkpoint, *where, "--precision", "int8", "--calibrate", images, "--least-dice", 0.8),
            *("--triton", running.address, "--json"),
        )
        assert done.exit_code == 0, done.stderr
    report = json.loads(done.stdout)["parity"]
    assert (report["sample"], report["inputs"], report["least_dice"]) == ("calibration", 6, 0.8)
    assert 0.8 <= report["onnxruntime"]["dice"] < 1
    assert report["triton"]["dice"] > 0.99
    folder = repository / "tiny" / "1"
    assert json.loads((folder / "version.json").read_text())["precision"] == "int8"
    graph = onnx.load(folder / "model.onnx").graph
    kinds = {tensor.name: tensor.data_type for tensor in graph.initializer}
    made = {node.output[0]: node for node in graph.node}
    convolutions = [node for node in graph.node if node.op_type in {"Conv", "ConvTranspose"}]
    assert len(convolutions) > 2
    for node in convolutions:
        weight = made[node.input[1]]
        assert weight.op_type == "DequantizeLinear"
        assert kinds[weight.input[0]] == onnx.TensorProto.INT8
    assert run("validate", repository).exit_code == 0
    output = run("versions", "tiny", "--repository", repository).stdout
    assert re.search(r" 8 ", output), output
    # Its precision is int8 after it was published again elsewhere.
    done = run("publish", repository / "tiny", "--repository", tmp_path / "other", "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads((tmp_path / "other" / "tiny" / "1" / "version.json").read_text())["precision"] == "int8"


def test_an_onnx_file_is_quantised(images: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Conv3d(1, 8, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv3d(8, 2, 1))
    torch.onnx.export(
        network.eval(),
        (torch.zeros(2, 1, 24, 16, 16),),
        tmp_path / "model.onnx",
        external_data=False,
        dynamic_shapes=({0: torch.export.Dim("batch")},),
    )
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(SEGMENTATION))
    where = ("--name", "theirs", "--repository", tmp_path / "repository")
    done = run("export", tmp_path / "model.onnx", *where, "--precision", "int8", "--calibrate", images)
    assert done.exit_code == 0, done.stderr
    assert "ONNX Runtime against onnx (calibration)" in done.stdout
    assert "(0.9700 required)" in done.stdout


def test_a_dice_below_the_limit_is_refused(checkpoint: Path, spec_file: Path, images: Path, tmp_path: Path) -> None:
    where = ("--spec", spec_file, "--name", "tiny", "--repository", tmp_path / "repository")
    done = run("export", checkpoint, *where, "--precision", "int8", "--calibrate", images, "--least-dice", 1)
    assert done.exit_code == 5
    assert re.search(
        r"in int8 has a mean Dice of 0\.\d{4} with .*, expected at least 1\.0000 \(--least-dice\)", done.stderr
    )
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "repository").exists()


def answering(path: Path, *, names: list[str]) -> None:
    """Write a model without weights that returns, for each label, the image x, 1 - x, its square, or 0."""
    shape: list[int | str] = ["batch", 1, 16, 16, 24]
    of = {"same": ("Identity", ["INPUT"]), "inverted": ("Sub", ["one", "INPUT"])}
    of |= {"other": ("Mul", ["INPUT", "INPUT"]), "wiped out": ("Mul", ["INPUT", "zero"])}
    nodes = [onnx.helper.make_node(*of[name], [f"label {index}"]) for index, name in enumerate(names)]
    joined = onnx.helper.make_node("Concat", [node.output[0] for node in nodes], ["PROBABILITY"], axis=1)
    graph = onnx.helper.make_graph(
        [*nodes, joined],
        "answers",
        [onnx.helper.make_tensor_value_info("INPUT", onnx.TensorProto.FLOAT, shape)],
        [onnx.helper.make_tensor_value_info("PROBABILITY", onnx.TensorProto.FLOAT, [shape[0], len(names), *shape[2:]])],
        [numpy_helper.from_array(np.array(value, np.float32), name) for name, value in (("zero", 0), ("one", 1))],
    )
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), path)


@pytest.mark.parametrize(
    ("labels", "damaged"),
    [
        (["same"], ["inverted"]),
        (["same"], ["wiped out"]),
        (["same", "other"], ["inverted", "other"]),
        (["same", "other"], ["same", "wiped out"]),
        (["other", "same"], ["wiped out", "same"]),
    ],
    ids=lambda names: ", ".join(names),
)
def test_a_lost_label_is_refused_where_labels_may_overlap(
    labels: list[str], damaged: list[str], tmp_path: Path
) -> None:
    mapping = {
        **SEGMENTATION,
        "labels": ["liver", "tumour"][: len(labels)],
        "output": {"dtype": "FP32", "exclusive": False, "threshold": 0.3},
        "network": {"name": "ONNX", "activation": "none"},
    }
    spec = ModelSpec.from_mapping({**mapping, "input": {**SEGMENTATION["input"], "dtype": "FP32"}})
    batch = np.random.default_rng(0).random((2, *spec.input_shape), np.float32)

    class Reference(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return torch.cat([image * image if name == "other" else image for name in labels], dim=1)

    def dice(names: list[str]) -> float:
        path = tmp_path / "model.onnx"
        answering(path, names=names)
        report, _ = measure_quantised_parity(
            OnnxRunner(path, spec),
            spec,
            ParityInputs("calibration", batch),
            network=ProbabilityNetwork(Reference(), spec),
            reference="pytorch",
            tolerance=2 / 255,
            least_dice=0.97,
        )
        assert report.onnxruntime is not None
        return report.onnxruntime.dice

    assert dice(labels) == 1
    with pytest.raises(FailedPrecondition, match=r"the model in int8 has a mean Dice of 0\.\d{4} .* \(--least-dice\)"):
        dice(damaged)


def lose(folder: Path) -> None:
    (folder / "labels" / "1.nii.gz").unlink()


def cut(folder: Path) -> None:
    path = folder / "images" / "1.nii.gz"
    path.write_bytes(path.read_bytes()[:1000])


def shift(folder: Path) -> None:
    phantom = make_phantom()
    Volume(phantom.labels.array[1:], Geometry(size=(176, 136, 95), spacing=(2, 2, 2.5))).write(
        folder / "labels" / "1.nii.gz"
    )


def move(folder: Path) -> None:
    labels = Volume.read(folder / "labels" / "1.nii.gz")
    x, y, z = labels.geometry.origin
    moved = replace(labels.geometry, origin=(x + 0.4 * labels.geometry.spacing[0], y, z))
    Volume(labels.array, moved).write(folder / "labels" / "1.nii.gz")


def clear(folder: Path) -> None:
    for path in (folder / "labels").iterdir():
        volume = Volume.read(path)
        Volume(np.zeros_like(volume.array), volume.geometry).write(path)


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lose, "is missing; a model with prompts needs labels for every image"),
        (cut, "is truncated"),
        (shift, r"1\.nii\.gz lies on another grid than the image"),
        (move, r"1\.nii\.gz lies on another grid than the image .* 0\.80 mm off at a corner"),
        (clear, "has no label that spans"),
    ],
)
def test_an_unusable_calibration_folder_is_reported(
    damage: Callable[[Path], None], expected: str, images: Path, spec: ModelSpec, tmp_path: Path
) -> None:
    for part in ("images", "labels"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "1.nii.gz").write_bytes((images / part / "1.nii.gz").read_bytes())
    damage(tmp_path)
    with pytest.raises((InvalidArgument, VolumeError), match=expected):
        calibration_inputs(tmp_path, spec)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (("--precision", "int8"), "--precision int8 and --calibrate FOLDER, of real images, must be given together"),
        (("--calibrate", "."), "--precision int8 and --calibrate FOLDER, of real images, must be given together"),
        (("--precision", "int8", "--calibrate", "nowhere"), "there is no folder nowhere"),
        (
            ("--precision", "int8", "--calibrate", "empty"),
            "has no images: expected image files, or images/ and labels/",
        ),
    ],
)
def test_contradicting_flags_are_reported(
    flags: tuple[str, ...],
    expected: str,
    checkpoint: Path,
    spec_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    done = run("export", checkpoint, "--spec", spec_file, "--name", "tiny", *flags)
    assert done.exit_code == 3
    assert expected in done.stderr
    assert done.stderr.count("\n") == 1
