"""The weights of exported models come back exactly, or not at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from exporter.graph.export import export_onnx
from exporter.graph.network import ProbabilityNetwork
from exporter.parity.compare import run_onnx
from exporter.parity.inputs import ParityInputs
from sixpoint.errors import InvalidArgument, ModelSpecError
from tests.support.paths import ROOT
from tests.trainer.training.start.models import export_version, perturbed_network, small_spec
from trainer.training.network import build_network
from trainer.training.start import find_start, start_network


@pytest.mark.slow
@pytest.mark.parametrize("name", ["annotation", "segmentation_hippocampus"])
def test_a_shipped_model_that_is_read_and_exported_again_is_the_same_to_the_bit(name: str, tmp_path: Path) -> None:
    start = find_start(ROOT / "model_repository" / name)
    spec = start.spec
    assert spec is not None
    network = start_network(spec, start).eval()
    again = tmp_path / "model.onnx"
    export_onnx(ProbabilityNetwork(network, spec).eval(), spec, again, metadata={})

    def constants(path: Path) -> list[tuple[str, bytes]]:
        graph = onnx.load(path).graph
        return sorted((tensor.name, onnx.numpy_helper.to_array(tensor).tobytes()) for tensor in graph.initializer)

    assert constants(again) == constants(start.file)
    inputs, expected = ParityInputs.from_npz(start.file.with_name("parity.npz").read_bytes())
    before, after = (run_onnx(path, spec, inputs.batch) for path in (start.file, again))
    assert np.array_equal(before, after)
    assert np.abs(before.astype(int) - expected).max() <= 1  # PyTorch's, rounded


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"act": "PRELU"},
        {"norm": ["INSTANCE", {"affine": True}]},
        {"norm": ["GROUP", {"num_groups": 1}], "act": "PRELU"},
    ],
    ids=["plain", "prelu", "affine", "group"],
)
def test_all_weights_come_back_to_the_bit(changes: dict[str, Any], tmp_path: Path) -> None:
    spec = small_spec(**changes)
    network = perturbed_network(spec)
    version = export_version(network, spec, tmp_path / "mine" / "1")
    weights = find_start(tmp_path / "mine").read(spec)
    assert weights.keys() == network.state_dict().keys()
    assert all(torch.equal(value, weights[name]) for name, value in network.state_dict().items())
    # A file alone is enough where all weights have names.
    (version / "parity.npz").unlink()
    if "PRELU" in str(changes):
        with pytest.raises(InvalidArgument, match=r"holds no names for model\.0.*, and no parity\.npz"):
            find_start(version).read(spec)
    else:
        assert find_start(version / "model.onnx").read(spec).keys() == weights.keys()


def test_a_model_in_float16_gives_its_float16_weights(tmp_path: Path) -> None:
    spec = small_spec()
    network = perturbed_network(spec)
    weights = find_start(export_version(network, spec, tmp_path / "mine" / "1", half=True)).read(spec)
    assert all(value.dtype == torch.float32 for value in weights.values())
    assert all(torch.equal(value.half().float(), weights[name]) for name, value in network.state_dict().items())


def test_weights_that_an_export_folded_into_others_are_refused_by_name(tmp_path: Path) -> None:
    spec = small_spec(norm="BATCH")
    version = export_version(perturbed_network(spec), spec, tmp_path / "mine" / "1")
    with pytest.raises(
        InvalidArgument, match=r"missing: model\.0.*running_mean.*batch norms.*start from the checkpoint"
    ):
        find_start(version).read(spec)


def test_a_file_of_another_network_is_refused_by_the_names_of_its_tensors(version: Path) -> None:
    other = small_spec(channels=[4, 6, 8])
    record = json.loads((version / "version.json").read_text())
    (version / "version.json").write_text(json.dumps({**record, "spec": other.model_dump(mode="json")}))
    with pytest.raises(
        InvalidArgument, match=r"of another shape: \S+ \[8, 4, 3, 3, 3\] \(expected \[6, 4, 3, 3, 3\]\)"
    ):
        find_start(version).read(other)


@pytest.mark.parametrize("factor", [-1.0, np.nan], ids=["negated", "NaN"])
def test_weights_that_do_not_give_the_stored_outputs_are_refused(factor: float, version: Path) -> None:
    spec = small_spec()
    model = onnx.load(version / "model.onnx")
    tensor = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    changed = onnx.numpy_helper.to_array(tensor) * np.float32(factor)
    tensor.CopyFrom(onnx.numpy_helper.from_array(changed, tensor.name))
    onnx.save(model, version / "model.onnx")
    with pytest.raises(InvalidArgument, match=r"is not the file that was published: its SHA-256 differs"):
        find_start(version)
    record = json.loads((version / "version.json").read_text())
    (version / "version.json").write_text(json.dumps({"spec": record["spec"]}))
    with pytest.raises(InvalidArgument, match="does not compute what its version did when it was published"):
        find_start(version).read(spec)


def test_quantised_damaged_and_foreign_files_are_refused(version: Path) -> None:
    spec = small_spec()
    record = json.loads((version / "version.json").read_text())
    foreign = spec.model_copy(update={"network": spec.network and spec.network.model_copy(update={"name": "ONNX"})})
    del record["sha256"]
    (version / "version.json").write_text(json.dumps({**record, "spec": foreign.model_dump(mode="json")}))
    with pytest.raises(ModelSpecError, match=r"model\.onnx cannot be trained: .*no network 'ONNX'"):
        find_start(version).read(spec)
    (version / "version.json").write_text(json.dumps(record))
    model = onnx.load(version / "model.onnx")
    model.graph.node.append(onnx.helper.make_node("DequantizeLinear", ["a", "b"], ["c"]))
    onnx.save(model, version / "model.onnx")
    with pytest.raises(InvalidArgument, match="is quantised to int8"):
        find_start(version).read(spec)
    (version / "model.onnx").write_bytes((version / "model.onnx").read_bytes()[:1000])
    with pytest.raises(InvalidArgument, match="is not an ONNX model, or is truncated or damaged"):
        find_start(version).read(spec)


def test_the_trainers_network_is_that_of_the_spec(version: Path) -> None:
    spec = small_spec()
    wide = small_spec(channels=[6, 8, 8])
    start = find_start(version)
    batch = torch.rand(1, *spec.input_shape)
    with torch.inference_mode():
        narrow_answer = start_network(spec, start).eval()(batch)
        wide_answer = start_network(wide, start).eval()(batch)
    assert torch.allclose(narrow_answer, wide_answer, atol=1e-5)
    with pytest.raises(InvalidArgument, match=r"is of another network: \d+ of \d+ tensors match; .*model\."):
        start_network(small_spec(num_res_units=1), start)
    assert build_network(wide).state_dict().keys() == build_network(spec).state_dict().keys()
