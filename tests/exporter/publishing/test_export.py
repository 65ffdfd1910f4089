"""Export of a checkpoint, up to Triton's answers."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import yaml
from tritonclient import grpc as triton_grpc

from exporter.graph.export import export_onnx
from exporter.graph.network import ProbabilityNetwork, build_network
from exporter.parity.compare import OnnxRunner
from exporter.parity.inputs import synthetic_batch
from exporter.parity.measure import check_batches
from gateway.triton.local.server import LocalTriton, LocalTritonSettings
from sixpoint._typing import Array
from sixpoint.errors import FailedPrecondition
from sixpoint.model_spec import ModelSpec
from tests.exporter.command_line import run
from tests.support.paths import TRITON_ENVIRONMENT
from tests.support.ports import free_port

needs_triton = pytest.mark.skipif(not TRITON_ENVIRONMENT.is_dir(), reason="Triton is not installed: make triton")


def wrapped(spec: ModelSpec, state: dict[str, torch.Tensor]) -> ProbabilityNetwork:
    network = build_network(spec)
    network.load_state_dict(state)
    return ProbabilityNetwork(network, spec).eval()


def test_an_exported_repository_is_valid(exported: Path) -> None:
    result = run("validate", exported, "--json")
    assert result.exit_code == 0
    report = json.loads(result.stdout)
    assert report["valid"]
    assert report["models"][0]["versions"] == [1]
    assert report["models"][0]["inputs"] == ["INPUT FP16 [6, 16, 16, 24]"]


@pytest.mark.triton
@needs_triton
def test_triton_agrees_with_pytorch(exported: Path, spec: ModelSpec, state: dict[str, torch.Tensor]) -> None:
    batch = synthetic_batch(spec, 3)
    with torch.inference_mode():
        expected = wrapped(spec, state)(torch.from_numpy(batch)).numpy()
    assert np.ptp(expected) > 100  # outputs that vary make the comparison below meaningful
    settings = LocalTritonSettings(
        model_repository=exported,
        environment=TRITON_ENVIRONMENT,
        grpc_port=free_port(),
        metrics_port=free_port(),
        stop_timeout=5,
    )
    triton = LocalTriton(settings)
    asyncio.run(triton.start())
    try:

        def ask(first: int, last: int) -> Array:
            with triton_grpc.InferenceServerClient(triton.address) as client:
                tensor = triton_grpc.InferInput("INPUT", [last - first, *spec.input_shape], "FP16")
                tensor.set_data_from_numpy(batch[first:last])
                answer = client.infer("tiny", [tensor]).as_numpy("PROBABILITY")
            assert answer is not None
            assert answer.dtype == np.uint8
            return answer.astype(int)

        with ThreadPoolExecutor(8) as pool:
            jobs = [pool.submit(ask, first, last) for first, last in [(0, 3), (0, 1), (1, 2), (1, 3), (2, 3)] * 4]
            answers = [job.result() for job in jobs]
    finally:
        asyncio.run(triton.stop())
    for answer, (first, last) in zip(answers, [(0, 3), (0, 1), (1, 2), (1, 3), (2, 3)] * 4, strict=True):
        assert np.abs(answer - expected[first:last]).max() <= 1  # rounding


def test_an_export_has_a_record_like_a_publish(exported: Path) -> None:
    folder = exported / "tiny" / "1"
    files = {path.name for path in folder.iterdir()}
    assert files == {"model.onnx", "version.json", "parity.json", "parity.npz"}
    record = json.loads((folder / "version.json").read_text())
    content = (folder / "model.onnx").read_bytes()
    assert (record["sha256"], record["size"]) == (hashlib.sha256(content).hexdigest(), len(content))
    assert record["spec"]["provenance"].keys() == {"data", "checkpoint_sha256", "torch", "monai", "onnx"}
    card = json.loads((exported / "tiny" / "card.json").read_text())
    assert card["versions"]["1"]["parity"] == json.loads((folder / "parity.json").read_text())
    listed = json.loads(run("versions", "tiny", "--repository", exported, "--json").stdout)
    assert [one["state"] for one in listed] == ["serving"]


def test_the_file_contains_no_path_of_this_machine(exported: Path) -> None:
    folder = exported / "tiny" / "1"
    content = (folder / "model.onnx").read_bytes()
    for place in (str(Path.cwd()), str(Path(torch.__file__).parents[1]), str(Path.home()), "site-packages"):
        assert place.encode() not in content
    model = onnx.load_from_string(content)
    assert {entry.key for entry in model.metadata_props} == {"checkpoint_sha256", "monai", "onnx", "torch"}


def test_the_next_export_is_the_next_version_and_keeps_text_below_the_card(
    repository: Path, checkpoint: Path, spec_file: Path
) -> None:
    card = repository / "tiny" / "README.md"
    card.write_text(card.read_text() + "\nBeware of livers.\n")
    result = run("export", checkpoint, "--spec", spec_file, "--name", "tiny", "--repository", repository)
    assert result.exit_code == 0, result.stderr
    assert "tiny version 2" in result.stdout
    assert "ONNX Runtime against pytorch (phantom): largest difference 0.0" in result.stdout
    text = card.read_text()
    assert text.count("Beware of livers.") == 1
    assert text.count("| 1 | `") == text.count("| 2 | `") == 1
    assert "0.9123" in text
    assert json.loads(run("validate", repository, "--json").stdout)["models"][0]["versions"] == [1, 2]


@pytest.mark.parametrize("dtype", ["FP16", "FP32"])
def test_other_tensor_types_export(
    dtype: str, mapping: dict[str, Any], state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    mapping["input"]["dtype"] = dtype
    mapping["output"] = {"dtype": dtype}
    spec = ModelSpec.from_mapping(mapping)
    network = wrapped(spec, state)
    path = tmp_path / "model.onnx"
    export_onnx(network, spec, path, metadata={})
    assert check_batches(OnnxRunner(path, spec), spec, network=network, tolerance=1e-3) < 1e-3


def test_a_model_that_differs_from_its_network_is_refused(
    exported: Path, spec: ModelSpec, state: dict[str, torch.Tensor]
) -> None:
    other = wrapped(spec, {key: value * 0.5 for key, value in state.items()})
    runner = OnnxRunner(exported / "tiny" / "1" / "model.onnx", spec)
    with pytest.raises(FailedPrecondition, match=r"differs from PyTorch by .* in a probability; 0\.0078 is allowed"):
        check_batches(runner, spec, network=other, tolerance=2 / 255)


def test_a_network_that_pytorch_cannot_export_is_reported(mapping: dict[str, Any], tmp_path: Path) -> None:
    class Moody(torch.nn.Module):
        def forward(self, value: torch.Tensor) -> torch.Tensor:
            return value[:, :1] if float(value.sum()) > 0 else -value[:, :1]

    spec = ModelSpec.from_mapping(mapping)
    with pytest.raises(FailedPrecondition, match="PyTorch cannot export Moody: "):
        export_onnx(ProbabilityNetwork(Moody(), spec).eval(), spec, tmp_path / "model.onnx", metadata={})


def test_errors_are_reported_in_one_line(checkpoint: Path, spec_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    cases = {
        "there is no model": (tmp_path / "none.pt", spec_file, "tiny"),
        "cannot be read: No such file": (checkpoint, tmp_path / "none.yaml", "tiny"),
        "'../x' is not a valid model name": (checkpoint, spec_file, "../x"),
    }
    for expected, (weights, spec, name) in cases.items():
        result = run("export", weights, "--spec", spec, "--name", name, "--repository", out)
        assert result.exit_code == 3
        assert result.stderr.startswith("error: ")
        assert expected in result.stderr
        assert result.stderr.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("title: [", "neither YAML nor JSON"),
        ("title: x", "input: Field required"),
        (yaml.safe_dump({"input": {"channels": [{"kind": "echo"}]}}), r"input\.channels\.0: .*heatmap"),
    ],
    ids=["syntax", "missing field", "unknown channel"],
)
def test_an_invalid_spec_is_explained(text: str, expected: str, checkpoint: Path, tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(text)
    result = run("export", checkpoint, "--spec", spec, "--name", "tiny", "--repository", tmp_path / "out")
    assert result.exit_code in (3, 5)
    assert re.search(expected, result.stderr)


def test_help_shows_examples() -> None:
    assert "exporter export runs/annotation/checkpoint.pt" in run("export", "--help").stdout
    assert "exporter publish spleen_ct_segmentation.zip --precision fp16" in run("publish", "--help").stdout
    assert "exporter validate /srv/models --json" in run("validate", "--help").stdout
