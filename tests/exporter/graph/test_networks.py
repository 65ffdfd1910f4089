"""Every supported network of MONAI is exported, compared with PyTorch, and served by the real Triton."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tritonclient import grpc as triton_grpc

from exporter.graph.network import ProbabilityNetwork, build_network
from exporter.parity.compare import probabilities
from exporter.parity.inputs import synthetic_batch
from exporter.repository.config import ModelConfig
from sixpoint.model_spec import ModelSpec
from tests.exporter.command_line import run
from tests.support.paths import TRITON_ENVIRONMENT
from tests.support.servers import running_triton

PLAIN = {"spatial_dims": 3, "in_channels": 1, "out_channels": 2}
STEPS = {"channels": [4, 8], "strides": [2]}
KINDS: dict[str, dict[str, Any]] = {
    "UNet": {**PLAIN, **STEPS, "num_res_units": 2},
    "BasicUNet": {**PLAIN, "features": [4, 4, 8, 8, 8, 4]},
    "DynUNet": {
        **PLAIN,
        "kernel_size": [3, 3, 3],
        "strides": [1, 2, 2],
        "upsample_kernel_size": [2, 2],
        "filters": [4, 8, 8],
        "res_block": True,
    },
    "SegResNet": {**PLAIN, "init_filters": 8, "blocks_down": [1, 1], "blocks_up": [1]},
    "SegResNetDS": {**PLAIN, "init_filters": 8, "blocks_down": [1, 1], "norm": "instance"},
    "AttentionUnet": {**PLAIN, **STEPS},
    "UNETR": {**PLAIN, "img_size": 32, "feature_size": 4, "hidden_size": 16, "mlp_dim": 16, "num_heads": 2},
    "SwinUNETR": {**PLAIN, "feature_size": 12, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2]},
    "VNet": PLAIN,
    "HighResNet": PLAIN,
    "RegUNet": {**PLAIN, "num_channel_initial": 4, "depth": 2},
    "MedNeXt": {
        **PLAIN,
        "init_filters": 4,
        "kernel_size": 3,
        "blocks_down": [1, 1, 1, 1],
        "blocks_bottleneck": 1,
        "blocks_up": [1, 1, 1, 1],
    },
}
LONG = {"SwinUNETR", "UNETR", "VNet"}
"""PyTorch's exporter needs up to a minute for each of these."""
SIZES: dict[str, list[int]] = {
    "UNETR": [32, 32, 32],
    "SwinUNETR": [64, 32, 32],
    "BasicUNet": [32, 32, 32],
    "MedNeXt": [32, 32, 32],
}


def spec_of(kind: str) -> ModelSpec:
    return ModelSpec.from_mapping(
        {
            "title": kind,
            "task": "segmentation",
            "prompts": [],
            "labels": ["object"],
            "patch": {"size": SIZES.get(kind, [16, 16, 16]), "spacing": [1, 1, 1]},
            "input": {"dtype": "FP32", "channels": [{"kind": "image", "intensity": {"method": "percentile"}}]},
            "output": {"dtype": "FP32"},
            "network": {"name": kind, "arguments": KINDS[kind], "axes": "RAS"},
        }
    )


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository that the tests of this module export to, and that the last one serves."""
    return tmp_path_factory.mktemp("networks") / "repository"


def weights(kind: str) -> torch.nn.Module:
    torch.manual_seed(0)
    network = build_network(spec_of(kind))
    for value in network.parameters():  # larger weights, so that outputs differ between voxels
        value.data *= 1.5
    return network


@pytest.mark.no_cover  # Tracing makes PyTorch's exporter three times as slow.
@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[pytest.mark.long] if kind in LONG else []) for kind in KINDS]
)
def test_each_network_exports_within_the_tolerance(kind: str, repository: Path, tmp_path: Path) -> None:
    torch.save(weights(kind).state_dict(), tmp_path / "model.pt")
    (tmp_path / "spec.yaml").write_text(spec_of(kind).to_json())
    # The phantom's first patch is air with nearly constant values, where ONNX Runtime's normalisation is less exact.
    result = run("export", tmp_path / "model.pt", "--name", kind, "--repository", repository, "--tolerance", 5e-4)
    assert result.exit_code == 0, result.stderr


@pytest.mark.triton
@pytest.mark.skipif(not TRITON_ENVIRONMENT.is_dir(), reason="Triton is not installed: make triton")
def test_triton_serves_every_network(repository: Path) -> None:
    exported = sorted(path.name for path in repository.iterdir())
    assert set(KINDS) - set(exported) <= LONG
    differences = {}
    with running_triton(repository) as triton, triton_grpc.InferenceServerClient(triton.address) as client:
        for kind in exported:
            spec = ModelConfig.read(repository / kind).spec
            assert spec is not None
            batch = synthetic_batch(spec, 2)
            with torch.inference_mode():
                expected = probabilities(
                    ProbabilityNetwork(weights(kind), spec).eval()(torch.from_numpy(batch)).numpy(), spec
                )
            tensor = triton_grpc.InferInput(spec.input.name, list(batch.shape), spec.input.dtype)
            tensor.set_data_from_numpy(batch)
            answer = client.infer(kind, [tensor]).as_numpy(spec.output.name)
            assert answer is not None
            assert np.ptp(expected) > 0.01, kind  # outputs that vary make the comparison meaningful
            differences[kind] = float(np.abs(probabilities(answer, spec) - expected).max())
    assert {kind: value for kind, value in differences.items() if value > 1e-4} == {}, json.dumps(differences)
