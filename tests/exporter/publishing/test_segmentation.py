"""A segmentation network with exclusive labels is exported from its checkpoint alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from exporter.graph.network import ProbabilityNetwork, build_network
from exporter.parity.compare import probabilities, run_onnx
from exporter.parity.inputs import synthetic_batch
from sixpoint.model_spec import ModelSpec
from tests.exporter.command_line import run


@pytest.fixture
def spec(mapping: dict[str, Any]) -> ModelSpec:
    del mapping["roi"]
    network = {**mapping["network"], "arguments": {**mapping["network"]["arguments"]}}
    network["arguments"] |= {"in_channels": 1, "out_channels": 3}
    return ModelSpec.from_mapping(
        {
            **mapping,
            "task": "segmentation",
            "prompts": [],
            "labels": ["anterior", "posterior"],
            "patch": {"size": [24, 16, 16], "spacing": [1.0, 1.0, 1.5]},
            "input": {"channels": [{"kind": "image", "intensity": {"method": "percentile"}}]},
            "network": network,
        }
    )


@pytest.mark.parametrize("dtype", ["UINT8", "FP16"])
def test_a_run_folder_exports_without_flags(dtype: str, spec: ModelSpec, tmp_path: Path) -> None:
    spec = spec.model_copy(update={"output": spec.output.model_copy(update={"dtype": dtype})})
    folder = tmp_path / "parts"
    folder.mkdir()
    torch.manual_seed(0)
    network = build_network(spec)
    torch.save({"state_dict": network.state_dict()}, folder / "checkpoint.pt")
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec.model_dump(mode="json")))
    repository = tmp_path / "model_repository"
    result = run("export", folder / "checkpoint.pt", "--repository", repository)
    assert result.exit_code == 0, result.stderr
    assert "parts version 1" in result.stdout

    report = json.loads(run("validate", repository, "--json").stdout)
    assert report["valid"]
    assert report["models"][0]["inputs"] == ["INPUT FP16 [1, 16, 16, 24]"]
    assert report["models"][0]["outputs"] == [f"PROBABILITY {dtype} [3, 16, 16, 24]"]
    card = (repository / "parts" / "README.md").read_text()
    assert "| Patch | 24 x 16 x 16 voxels of 1 x 1 x 1.5 mm (x, y, z), overlap 0.5 |" in card
    assert "| Prompts | none |" in card

    batch = synthetic_batch(spec, 2)
    found = run_onnx(repository / "parts" / "1" / "model.onnx", spec, batch)
    with torch.inference_mode():
        logits = network(torch.from_numpy(batch).float())
        expected = ProbabilityNetwork(network, spec).eval()(torch.from_numpy(batch)).numpy()
    assert np.abs(probabilities(found, spec) - torch.softmax(logits, dim=1).numpy()).max() <= 1 / 255
    assert np.abs(probabilities(found, spec) - probabilities(expected, spec)).max() <= 1 / 255
    assert probabilities(found, spec).sum(axis=1) == pytest.approx(1.0, abs=2 / 255)
