"""Small networks with weights that no initialiser gives, exported as the exporter does it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

import trainer
from exporter.graph.export import export_onnx
from exporter.graph.model_files import sha256_of_files
from exporter.graph.network import ProbabilityNetwork
from exporter.parity.compare import OnnxRunner
from exporter.parity.inputs import ParityInputs, synthetic_batch
from sixpoint.model_spec import ModelSpec, NetworkSpec
from trainer.data.spec_files import read_spec
from trainer.training.network import build_network

__all__ = ["export_version", "perturbed_network", "small_spec"]


def small_spec(**changes: Any) -> ModelSpec:
    """A small annotation network; ``changes`` are those of its network's arguments."""
    whole = read_spec(Path(trainer.__file__).with_name("annotation.yaml"))
    assert whole.network is not None
    arguments = {**whole.network.arguments, "channels": [4, 8, 8], "strides": [2, 2], **changes}
    roi = whole.roi.model_copy(update={"size": (32, 32, 32)})
    network = NetworkSpec(name="UNet", arguments=arguments)
    return whole.model_copy(update={"network": network, "roi": roi, "licence": "CC-BY-SA-4.0"})


def perturbed_network(spec: ModelSpec) -> nn.Module:
    """A network no two tensors of which are equal."""
    torch.manual_seed(3)
    network = build_network(spec).eval()
    with torch.no_grad():
        for value in network.parameters():
            value.add_(0.1 * torch.randn_like(value))
    return network


def export_version(network: nn.Module, spec: ModelSpec, folder: Path, *, half: bool = False) -> Path:
    """Write a version's folder with model.onnx, version.json and parity.npz; return the folder."""
    folder.mkdir(parents=True)
    model = folder / "model.onnx"
    export_onnx(ProbabilityNetwork(network, spec, half=half).eval(), spec, model, metadata={})
    record = {"sha256": sha256_of_files([model]), "spec": spec.model_dump(mode="json")}
    (folder / "version.json").write_text(json.dumps(record))
    inputs = ParityInputs("phantom", synthetic_batch(spec, 2))
    (folder / "parity.npz").write_bytes(inputs.to_npz(OnnxRunner(model, spec)(inputs.batch)))
    return folder
