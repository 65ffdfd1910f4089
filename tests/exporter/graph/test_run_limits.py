"""A graph that loops for ever or takes all memory ends with one sentence, and so does a window no network can see."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yaml
from onnx import TensorProto, helper

from exporter.graph import limited_process
from exporter.graph.quantise import quantise
from sixpoint.errors import InvalidArgument
from sixpoint.model_spec import ModelSpec
from tests.exporter.command_line import run
from tests.exporter.specs import SEGMENTATION


def write_graph(path: Path, nodes: list[onnx.NodeProto], constants: list[onnx.TensorProto]) -> None:
    """Write a graph from x [n, 1, a, b, c], and xx [n, 2, a, b, c] made of it, to y."""
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", channels, "a", "b", "c"])
        for name, channels in (("x", 1), ("y", 2))
    ]
    double = helper.make_node("Concat", ["x", "x"], ["xx"], axis=1)
    graph = helper.make_graph([double, *nodes], "g", ends[:1], ends[1:], constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def endless(path: Path) -> None:
    """A loop of 2**62 rounds that changes nothing."""
    values: list[Any] = [
        helper.make_tensor_value_info(name, kind, None if name.startswith("v") else [])
        for name, kind in (
            *(("i", TensorProto.INT64), ("go", TensorProto.BOOL), ("v", TensorProto.FLOAT)),
            *(("goes", TensorProto.BOOL), ("vs", TensorProto.FLOAT)),
        )
    ]
    steps = [helper.make_node("Identity", ["go"], ["goes"]), helper.make_node("Identity", ["v"], ["vs"])]
    body = helper.make_graph(steps, "body", values[:3], values[3:])
    constants = [
        helper.make_tensor("rounds", TensorProto.INT64, [], [2**62]),
        helper.make_tensor("true", TensorProto.BOOL, [], [True]),
    ]
    write_graph(path, [helper.make_node("Loop", ["rounds", "true", "xx"], ["y"], body=body)], constants)


def large(path: Path) -> None:
    """A file of 1 kB with a tensor of 16 GiB."""
    nodes = [
        helper.make_node("ConstantOfShape", ["size"], ["zeros"]),
        helper.make_node("ReduceMax", ["zeros"], ["zero"], keepdims=0),
        helper.make_node("Add", ["xx", "zero"], ["y"]),
    ]
    write_graph(path, nodes, [helper.make_tensor("size", TensorProto.INT64, [1], [2**32])])


def test_a_loop_without_end_is_ended(tmp_path: Path, segmentation_spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limited_process, "_BASE_SECONDS", 2.0)
    endless(tmp_path / "model.onnx")
    done = run("export", tmp_path / "model.onnx", "--spec", segmentation_spec, "--repository", tmp_path / "repository")
    assert done.exit_code == 3
    assert done.stderr == ("error: model.onnx cannot be used: it did not finish within 3 s, the limit for its window\n")
    assert not (tmp_path / "repository").exists()


@pytest.mark.parametrize(
    ("write", "expected"),
    [(endless, "did not finish within 4 s"), (large, r"takes over 3\.1 GiB of memory")],
    ids=["endless", "large"],
)
def test_calibration_for_int8_has_the_same_limits(
    write: Callable[[Path], None], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limited_process, "_BASE_SECONDS", 3.0)
    write(tmp_path / "model.onnx")
    spec = ModelSpec.from_mapping({**SEGMENTATION, "input": {**SEGMENTATION["input"], "name": "x", "dtype": "FP32"}})
    batch = np.zeros((2, *spec.input_shape), np.float32)
    with pytest.raises(InvalidArgument, match=f"model.onnx cannot be used: it {expected}, the limit for its window"):
        quantise(tmp_path / "model.onnx", spec, batch, tmp_path / "int8.onnx")
    assert not (tmp_path / "int8.onnx").exists()


def test_a_tensor_beyond_the_memory_limit_is_refused(tmp_path: Path, segmentation_spec: Path) -> None:
    large(tmp_path / "model.onnx")
    done = run("export", tmp_path / "model.onnx", "--spec", segmentation_spec, "--repository", tmp_path / "repository")
    assert done.exit_code == 3
    assert done.stderr == (
        "error: model.onnx cannot be used: it takes over 3.1 GiB of memory, the limit for its window\n"
    )


@pytest.mark.parametrize("suffix", ["onnx", "pt"])
def test_a_window_that_no_network_can_see_is_refused_by_its_field(
    suffix: str, tmp_path: Path, checkpoint: Path
) -> None:
    source = tmp_path / f"model.{suffix}"
    if suffix == "onnx":
        endless(source)
    else:
        source.write_bytes(checkpoint.read_bytes())
    network = {"name": "UNet", "arguments": {"spatial_dims": 3}}
    spec = {**SEGMENTATION, "patch": {"size": [512, 512, 512], "spacing": [1, 1, 1]}, "network": network}
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(spec))
    done = run("export", source, "--repository", tmp_path / "repository")
    assert done.exit_code == 5
    assert done.stderr.startswith("error: patch.size of 512 x 512 x 512 has 134,217,728 voxels, expected at most")
    assert done.stderr.count("\n") == 1
