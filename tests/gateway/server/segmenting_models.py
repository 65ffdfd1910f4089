"""Models for tests of segmentation: the shipped one, the same without rounding, and the same in PyTorch."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import torch
from google.protobuf import text_format
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from tritonclient.grpc import model_config_pb2

from exporter.graph.network import build_network
from sixpoint.model_spec import CANDIDATE_PARAMETER, SPEC_PARAMETER, Candidate, ModelSpec
from tests.support.paths import ROOT

MODEL = "segmentation_hippocampus"
SHIPPED = ROOT / "model_repository" / MODEL


def shipped_spec() -> ModelSpec:
    config = text_format.Parse((SHIPPED / "config.pbtxt").read_text(), model_config_pb2.ModelConfig())
    return ModelSpec.from_json(config.parameters[SPEC_PARAMETER].string_value)


def exact_spec() -> ModelSpec:
    """The shipped model's spec, but for its output, which is not rounded to 255ths."""
    spec = shipped_spec()
    return spec.model_copy(update={"output": spec.output.model_copy(update={"dtype": "FP32"})})


def write_exact_model(folder: Path) -> None:
    """The shipped network, whose answers are not rounded to 255ths."""
    shutil.copytree(SHIPPED, folder)
    path = folder / "1" / "model.onnx"
    model = onnx.load(path)
    last = [node.op_type for node in model.graph.node[-4:]]
    assert last == ["Softmax", "Mul", "Round", "Cast"]
    del model.graph.node[-3:]
    model.graph.node.append(helper.make_node("Identity", [model.graph.node[-1].output[0]], ["PROBABILITY"]))
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT
    onnx.save(model, path)
    config = text_format.Parse((folder / "config.pbtxt").read_text(), model_config_pb2.ModelConfig())
    config.name = folder.name
    config.output[0].data_type = model_config_pb2.TYPE_FP32
    config.parameters[SPEC_PARAMETER].string_value = exact_spec().to_json()
    (folder / "config.pbtxt").write_text(text_format.MessageToString(config))


def write_trial_model(folder: Path, *, share: float) -> None:
    """The shipped network, with a second version on trial for a share of the images, which takes all for background."""
    shutil.copytree(SHIPPED, folder)
    path = folder / "2" / "model.onnx"
    path.parent.mkdir()
    model = onnx.load(folder / "1" / "model.onnx")
    _, scaling, rounding, _ = model.graph.node[-4:]
    assert (scaling.op_type, rounding.op_type) == ("Mul", "Round")
    background = np.array([255, 0, 0], np.float32).reshape(1, 3, 1, 1, 1)
    model.graph.initializer.append(numpy_helper.from_array(background, "background"))
    scaling.input[1] = "background"
    onnx.save(model, path)
    config = text_format.Parse((folder / "config.pbtxt").read_text(), model_config_pb2.ModelConfig())
    config.name = folder.name
    config.version_policy.specific.versions[:] = [1, 2]
    config.parameters[CANDIDATE_PARAMETER].string_value = Candidate("2", share).to_json()
    (folder / "config.pbtxt").write_text(text_format.MessageToString(config))


def shipped_network() -> nn.Module:
    """The shipped network in PyTorch: its weights are read from the ONNX file."""
    network = build_network(shipped_spec()).eval()
    graph = onnx.load(SHIPPED / "1" / "model.onnx").graph
    values = {one.name: torch.from_numpy(numpy_helper.to_array(one).copy()) for one in graph.initializer}
    state = network.state_dict()
    state |= {name.removeprefix("network."): value for name, value in values.items() if name.startswith("network.")}
    network.load_state_dict(state)
    # The export folds the norms' weights into a product and a sum each, in the order in which the norms are reached.
    norms: list[nn.GroupNorm] = []
    hooks = [
        module.register_forward_pre_hook(lambda module, _: norms.append(module))
        for module in network.modules()
        if isinstance(module, nn.GroupNorm)
    ]
    with torch.inference_mode():
        network(torch.zeros(1, *shipped_spec().input_shape))
    for hook in hooks:
        hook.remove()
    folded = [
        (node.op_type, values[node.input[1]].reshape(-1))
        for node in graph.node
        if node.op_type in {"Mul", "Add"} and node.input[1] in values and values[node.input[1]].ndim == 4
    ]
    assert [kind for kind, _ in folded] == ["Mul", "Add"] * len(norms)
    with torch.no_grad():
        for norm, (_, weight), (_, bias) in zip(norms, folded[::2], folded[1::2], strict=True):
            norm.weight.copy_(weight)
            norm.bias.copy_(bias)
    return network


def softmaxed(network: nn.Module, patches: torch.Tensor) -> torch.Tensor:
    """Probabilities of patches; the network's input is rounded as it travels."""
    return torch.softmax(network(torch.from_numpy(patches.numpy().astype(np.float16)).float()), dim=1)
