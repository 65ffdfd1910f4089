"""ONNX files as other and older tools write them: exported, or refused in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yaml
from onnx import TensorProto, helper, numpy_helper

from tests.exporter.command_line import run
from tests.exporter.specs import SEGMENTATION

SHAPE = (24, 16, 16)


def onnx_file(path: Path, nodes: list[Any], weights: list[Any], *, listed: bool = False, **versions: int) -> Path:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1, *SHAPE])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2, *SHAPE])
    extra = [helper.make_tensor_value_info(one.name, one.data_type, one.dims) for one in weights if listed]
    graph = helper.make_graph(nodes, "g", [value, *extra], [result], weights)
    opsets = [helper.make_opsetid("", versions.get("opset", 17))]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=versions.get("ir", 8)), path)
    onnx.checker.check_model(path)
    return path


def kernel(name: str = "w") -> Any:
    values = np.random.default_rng(0).normal(size=(2, 1, 3, 3, 3)).astype(np.float32)
    return numpy_helper.from_array(values, name)


def convolution(weights: str = "w") -> Any:
    return helper.make_node("Conv", ["x", weights], ["y"], pads=[1] * 6)


def test_weights_among_the_inputs_are_exported(segmentation_spec: Path, tmp_path: Path) -> None:
    path = onnx_file(tmp_path / "model.onnx", [convolution()], [kernel()], listed=True, opset=13, ir=3)
    result = run(
        "export",
        path,
        "--spec",
        segmentation_spec,
        "--name",
        "liver",
        "--repository",
        tmp_path / "repository",
        "--json",
    )
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["parity"]["onnxruntime"]["largest"] < 2 / 255


@pytest.mark.parametrize("opset", [13, 17, 18])
def test_logits_are_served_by_any_version_of_the_operators(opset: int, tmp_path: Path) -> None:
    """The adapters are written with the version of the file that they surround."""
    patch = {**SEGMENTATION["patch"], "average": "logits"}
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump({**SEGMENTATION, "patch": patch, "output": {"dtype": "FP16"}}))
    path = onnx_file(tmp_path / "model.onnx", [convolution()], [kernel()], opset=opset)
    where = ("--name", "liver", "--repository", tmp_path / "repository")
    result = run("export", path, "--spec", tmp_path / "spec.yaml", *where, "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["parity"]["onnxruntime"]["largest"] < 2 / 255


def test_branches_that_use_weights_of_the_graph_are_exported(segmentation_spec: Path, tmp_path: Path) -> None:
    output = helper.make_tensor_value_info("y1", TensorProto.FLOAT, None)
    branches = {
        name: helper.make_graph([helper.make_node("Conv", ["x", weights], ["y1"], pads=[1] * 6)], name, [], [output])
        for name, weights in (("then_branch", "w"), ("else_branch", "v"))
    }
    condition = numpy_helper.from_array(np.array(True), "c")
    nodes = [helper.make_node("If", ["c"], ["y"], None, None, None, None, **branches)]
    path = onnx_file(tmp_path / "model.onnx", nodes, [kernel("w"), kernel("v"), condition])
    result = run(
        "export",
        path,
        "--spec",
        segmentation_spec,
        "--name",
        "liver",
        "--repository",
        tmp_path / "repository",
        "--json",
    )
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["parity"]["onnxruntime"]["largest"] < 2 / 255


def test_constants_that_are_nan_are_named(segmentation_spec: Path, tmp_path: Path) -> None:
    broken = numpy_helper.from_array(np.full((2, 1, 3, 3, 3), np.nan, np.float32))
    nodes = [helper.make_node("Constant", [], ["w"], value=broken), convolution()]
    path = onnx_file(tmp_path / "model.onnx", nodes, [])
    result = run("export", path, "--spec", segmentation_spec, "--repository", tmp_path / "repository")
    assert result.exit_code == 3
    assert "weights that are NaN or infinite" in result.stderr
    assert result.stderr.count("\n") == 1
