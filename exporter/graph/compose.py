"""Put an ONNX graph of a network between the adapters of a ModelSpec."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx
import torch
from onnx import compose
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel
from torch import nn

from exporter.graph.adapters import InputAdapter, OutputAdapter, network_shape
from exporter.graph.export import quiet, save_model, to_onnx
from exporter.graph.external_data import MAX_PROTOBUF_BYTES, load_weights_into
from sixpoint.errors import FailedPrecondition
from sixpoint.model_spec import ModelSpec

__all__ = ["NetworkGraph", "compose_onnx", "opset_of", "to_fp16"]

_PREFIX = "network/"
_AXES_AS_INPUT = 18
"""First version of the standard operators in which reductions take their axes as an input."""


@dataclass(frozen=True, kw_only=True)
class NetworkGraph:
    """An ONNX graph of a network alone, which takes any batch size.

    Attributes:
        model: The graph, which may use external data.
        folder: Folder that holds its external data.
        name: Name of its file in errors.
        left_out: Names of the file's outputs that are not served.
    """

    model: onnx.ModelProto
    folder: Path
    name: str
    left_out: tuple[str, ...] = ()


def to_fp16(graph: NetworkGraph) -> NetworkGraph:
    """Convert a graph to compute in float16, between input and output tensors that stay float32.

    Raises:
        FailedPrecondition: The graph has operators without a float16 form, or is larger than 2 GB.
    """
    if not load_weights_into(graph.model, source=graph.folder):
        raise FailedPrecondition(
            f"{graph.name} is over 2 GB and cannot be converted to float16: export the network's checkpoint with "
            "--precision fp16"
        )
    try:
        with quiet():
            model: onnx.ModelProto = convert_float_to_float16(graph.model, keep_io_types=True)
            OnnxModel(model).topological_sort()  # the converter appends its casts at the end
    except Exception as error:  # the converter's errors have no common base class
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise FailedPrecondition(f"{graph.name} cannot compute in float16: {reason}") from error
    return NetworkGraph(model=model, folder=graph.folder, name=graph.name)


def compose_onnx(
    graph: NetworkGraph,
    spec: ModelSpec,
    path: Path,
    *,
    metadata: Mapping[str, str],
    max_bytes: int = MAX_PROTOBUF_BYTES,
) -> None:
    """Write a graph between the input and output adapters of a spec.

    Args:
        graph: Graph of the network.
        spec: Description of the model.
        path: The file to write.
        metadata: Facts to store in the file.
        max_bytes: Size limit of the file; the weights of a larger model go to a second file.
    """
    whole = onnx.ModelProto()
    whole.CopyFrom(graph.model)
    # Branches may use weights of the graph round them, which onnx.compose would rename too late for them.
    weights = {tensor.name: f"{_PREFIX}{tensor.name}" for tensor in graph.model.graph.initializer}
    whole.graph.CopyFrom(compose.add_prefix_graph(graph.model.graph, _PREFIX, name_map=weights))
    inner_input, inner_output = whole.graph.input[0].name, whole.graph.output[0].name
    dtype = torch.float16 if spec.input.dtype == "FP16" else torch.float32
    image = torch.zeros(2, *spec.input_shape, dtype=dtype)
    channels = graph.model.graph.output[0].type.tensor_type.shape.dim[1].dim_value
    logits = torch.zeros(2, channels, *network_shape(spec)[1:])
    # These prefixes are part of the file: another one changes the SHA-256 of every export.
    before = _adapter_graph(
        InputAdapter(spec), image, prefix="Entry/", names=(spec.input.name, inner_input), like=graph.model
    )
    after = _adapter_graph(
        OutputAdapter(spec), logits, prefix="Head/", names=(inner_output, spec.output.name), like=graph.model
    )
    # onnx.compose.merge_models checks its result in memory, where it does not find external data.
    nodes = [*before.graph.node, *whole.graph.node, *after.graph.node]
    for field, values in (
        ("node", nodes),
        ("input", list(before.graph.input)),
        ("output", list(after.graph.output)),
        ("value_info", []),  # it may state shapes for a fixed batch size
    ):
        whole.graph.ClearField(field)
        getattr(whole.graph, field).extend(values)
    whole.graph.initializer.extend([*before.graph.initializer, *after.graph.initializer])
    save_model(whole, path, metadata=metadata, source=graph.folder, max_bytes=max_bytes)


def opset_of(model: onnx.ModelProto) -> int:
    """Return the version of the standard operators that a graph uses; 0 if it states none."""
    return max((entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"}), default=0)


def _adapter_graph(
    adapter: nn.Module, example: torch.Tensor, *, prefix: str, names: tuple[str, str], like: onnx.ModelProto
) -> onnx.ModelProto:
    """Export an adapter with the operator and IR versions of another graph.

    Args:
        adapter: The adapter.
        example: Example input with batch 2.
        prefix: Prefix of the names inside the graph.
        names: Names of the input and the output tensor.
        like: Graph whose versions to use.
    """
    with tempfile.TemporaryDirectory(prefix="sixpoint-adapter-") as folder:
        path = Path(folder, "adapter.onnx")
        to_onnx(adapter.eval(), example, path, names=names, what=type(adapter).__name__)
        model = onnx.load(path)
    model.graph.CopyFrom(compose.add_prefix_graph(model.graph, prefix, rename_inputs=False, rename_outputs=False))
    model.opset_import[0].version = opset_of(like)
    if opset_of(like) < _AXES_AS_INPUT:
        _axes_to_attributes(model.graph)
    model.ir_version = like.ir_version
    del model.functions[:]
    del model.metadata_props[:]
    return model


def _axes_to_attributes(graph: onnx.GraphProto) -> None:
    """Give reductions their axes in the form of older versions of the standard operators."""
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "ReduceMax" and len(node.input) > 1:
            axes = constants[node.input.pop()].reshape(-1).tolist()
            node.attribute.append(onnx.helper.make_attribute("axes", axes))
