"""Invalid repositories, with one line for each problem."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from tests.exporter.command_line import run


def edit(old: str, new: str) -> Callable[[Path], None]:
    """Return a function that replaces text in the config, which must contain it."""

    def change(folder: Path) -> None:
        text = (folder / "config.pbtxt").read_text()
        assert old in text
        (folder / "config.pbtxt").write_text(text.replace(old, new))

    return change


def edit_graph(change: Callable[[onnx.ModelProto], None]) -> Callable[[Path], None]:
    def edited(folder: Path) -> None:
        model = onnx.load(folder / "1" / "model.onnx")
        change(model)
        onnx.save(model, folder / "1" / "model.onnx")

    return edited


def fix_batch(model: onnx.ModelProto) -> None:
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 2


def rename_input(model: onnx.ModelProto) -> None:
    model.graph.input[0].name = "X"
    for node in model.graph.node:
        node.input[:] = ["X" if name == "INPUT" else name for name in node.input]


CASES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no config": (lambda folder: (folder / "config.pbtxt").unlink(), "config.pbtxt cannot be read"),
    "no config's text": (lambda folder: (folder / "config.pbtxt").write_text("{"), "not a model config of Triton"),
    "no spec": (edit('"sixpoint"', '"other"'), "no parameter sixpoint"),
    "no spec's JSON": (edit(r"{\"version\":1", r"{\"version\":7"), "model spec: version"),
    "another name": (edit('name: "tiny"', 'name: "large"'), "names the model large, and its folder is tiny"),
    "another backend": (edit('backend: "onnxruntime"', 'backend: "pytorch"'), "has backend pytorch"),
    "no batches": (edit("max_batch_size: 8", "max_batch_size: 0"), "max_batch_size 0"),
    "config against spec": (
        edit("TYPE_UINT8", "TYPE_FP32"),
        "has output PROBABILITY FP32 [1, 16, 16, 24], and its spec",
    ),
    "no version": (lambda folder: (folder / "1").rename(folder / "one"), "it has no version"),
    "no model": (lambda folder: (folder / "1" / "model.onnx").unlink(), "version 1: model.onnx is missing"),
    "damaged": (
        lambda folder: (folder / "1" / "model.onnx").write_bytes(b"PK\3\4"),
        "not an ONNX model, or is truncated or damaged",
    ),
    "cut off": (
        lambda folder: (folder / "1" / "model.onnx").write_bytes((folder / "1" / "model.onnx").read_bytes()[:5000]),
        "not an ONNX model, or is truncated or damaged",
    ),
    "fixed batch": (edit_graph(fix_batch), "has input INPUT with a fixed batch size FP16 [2, 6, 16, 16, 24]"),
    "graph against config": (edit_graph(rename_input), "has input X FP16 [6, 16, 16, 24], and config.pbtxt INPUT"),
    "spec against graph": (
        edit(r"\"INPUT\"", r"\"IMAGE\""),
        "has input INPUT FP16 [6, 16, 16, 24], and its spec IMAGE",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_each_problem_is_reported_in_one_line(case: str, repository: Path) -> None:
    damage, expected = CASES[case]
    damage(repository / "tiny")
    result = run("validate", repository)
    assert result.exit_code == 1
    assert "not valid" in result.stdout
    lines = result.stderr.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: tiny: ")
    assert expected in lines[0]


def test_values_that_are_no_probabilities_are_reported(repository: Path) -> None:
    folder = repository / "tiny"
    edit("TYPE_UINT8", "TYPE_FP32")(folder)
    edit(r"\"dtype\":\"UINT8\"", r"\"dtype\":\"FP32\"")(folder)
    shape = [onnx.helper.make_tensor_value_info("INPUT", onnx.TensorProto.FLOAT16, ["N", 6, 16, 16, 24])]
    output = [onnx.helper.make_tensor_value_info("PROBABILITY", onnx.TensorProto.FLOAT, ["N", 1, 16, 16, 24])]
    nodes = [
        onnx.helper.make_node("Cast", ["INPUT"], ["wide"], to=onnx.TensorProto.FLOAT),
        onnx.helper.make_node("ReduceMin", ["wide"], ["least"], axes=[1]),
        onnx.helper.make_node("Sqrt", ["least"], ["PROBABILITY"]),
    ]
    graph = onnx.helper.make_graph(nodes, "roots", shape, output)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "1" / "model.onnx")
    assert "returns values from nan" in run("validate", repository).stderr


def test_a_broken_model_hides_no_other_and_hidden_folders_are_ignored(repository: Path) -> None:
    (repository / "broken").mkdir()
    (repository / ".tmp-123").mkdir()
    (repository / "tiny" / ".tmp-456").mkdir()
    result = run("validate", repository, "--json")
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert {model["name"]: bool(model["problems"]) for model in report["models"]} == {"broken": True, "tiny": False}


def test_an_empty_repository_is_valid_and_a_missing_one_is_not(tmp_path: Path) -> None:
    result = run("validate", tmp_path)
    assert result.exit_code == 0
    assert "no models" in result.stdout
    result = run("validate", tmp_path / "none")
    assert result.exit_code == 5
    assert result.stderr.startswith("error: there is no model repository")
