"""Read ONNX files from other tools: checked against the spec, and made to take any batch size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from torch import nn

from exporter.graph.adapters import network_shape
from exporter.graph.compose import NetworkGraph, opset_of
from exporter.graph.export import OPSET
from exporter.graph.external_data import iter_nodes, iter_tensors, source_files
from exporter.graph.network import check_output
from exporter.graph.session import open_session
from exporter.sources.model import SourceModel, provenance_of
from sixpoint.errors import InvalidArgument, ModelSpecError
from sixpoint.model_spec import ModelSpec

__all__ = ["OnnxNetwork", "load_onnx", "read_onnx"]

_MIN_OPSET, _MAX_OPSET = 13, 21
"""The adapters' operators have kept their meaning since 13; Triton 24.10's ONNX Runtime 1.19 supports up to 21."""
_LOG_NOTHING = 4


class OnnxNetwork(nn.Module):
    """An ONNX file as a PyTorch module, with which the composed graph is compared.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.session = open_session(path)
        self.input = self.session.get_inputs()[0].name

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        """Return the output for ``value`` [batch, channel, its spatial axes]; inputs run one by one."""
        inputs = [single[None].contiguous().numpy() for single in value]
        return torch.from_numpy(np.concatenate([self.session.run(None, {self.input: single})[0] for single in inputs]))


def load_onnx(path: Path, spec: ModelSpec) -> SourceModel:
    """Read a model from an ONNX file and its spec.

    Raises:
        InvalidArgument: The file cannot be served; see :func:`read_onnx`.
        ModelSpecError: The graph's tensors do not match the spec.
    """
    # First, since it refuses weights outside the file's folder.
    provenance = provenance_of(path, "onnx_sha256", "torch", "onnx")
    graph = read_onnx(path, spec)
    return SourceModel(spec=spec, network=OnnxNetwork(path), provenance=provenance, graph=graph, reference="onnx")


def read_onnx(path: Path, spec: ModelSpec) -> NetworkGraph:
    """Read the ONNX graph of a network, check it against a spec, and make it take any batch size.

    Args:
        path: The file.
        spec: Description of the model.

    Returns:
        The graph; its external data stays in its files.

    Raises:
        InvalidArgument: The file is not an ONNX model, has weights outside its folder or weights that are not finite,
            needs operators that Triton does not have, or takes one batch size only.
        ModelSpecError: The graph's tensors do not match the spec.
    """
    source_files(path)
    try:
        model = onnx.load(path, load_external_data=False)
        onnx.checker.check_model(path, full_check=False)
    except Exception as error:  # of protobuf, the checker and the operating system
        raise InvalidArgument(
            f"{path.name} is not an ONNX model, or is truncated or damaged: {_first_line(error)}"
        ) from error
    shape = network_shape(spec)
    _check_operators(path, model)
    _check_weights(path, model)
    _check_tensors(path, model, shape)
    _free_batch(path, model, spec, shape)
    return NetworkGraph(model=model, folder=path.parent, name=path.name)


def _check_operators(path: Path, model: onnx.ModelProto) -> None:
    used = {node.domain for node in iter_nodes(model)} - {"", "ai.onnx"}
    if used:
        raise InvalidArgument(
            f"{path.name} has operators of {', '.join(sorted(used))}, which Triton does not have: export it with "
            "standard operators"
        )
    standard = [entry for entry in model.opset_import if entry.domain in {"", "ai.onnx"}]
    del model.opset_import[:]
    model.opset_import.extend(standard)
    opset = opset_of(model)
    if not _MIN_OPSET <= opset <= _MAX_OPSET:
        raise InvalidArgument(
            f"{path.name} uses opset {opset}, expected {_MIN_OPSET} to {_MAX_OPSET}: export it again with "
            f"opset_version={OPSET}"
        )


def _check_weights(path: Path, model: onnx.ModelProto) -> None:
    initializers = {id(tensor) for tensor in model.graph.initializer}
    for tensor in iter_tensors(model):
        try:
            values = onnx.numpy_helper.to_array(tensor, str(path.parent))
        except (OSError, ValueError) as error:
            raise InvalidArgument(f"{path.name} has weights that cannot be read: {_first_line(error)}") from error
        # A constant may be infinite on purpose, as a mask before a softmax.
        broken = np.isnan if id(tensor) not in initializers else lambda numbers: ~np.isfinite(numbers)
        if np.issubdtype(values.dtype, np.floating) and broken(values).any():
            name = tensor.name or "a constant"
            raise InvalidArgument(f"{path.name} has weights that are NaN or infinite: {name}")
    for node in iter_nodes(model):
        numbers = [number for attribute in node.attribute for number in (attribute.f, *attribute.floats)]
        if np.isnan(numbers).any():
            raise InvalidArgument(f"{path.name} has weights that are NaN or infinite: {node.output[0] or node.name}")


def _check_tensors(path: Path, model: onnx.ModelProto, expected: tuple[int, ...]) -> None:
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    for side, values in (("inputs", inputs), ("outputs", model.graph.output)):
        if len(values) != 1:
            raise ModelSpecError(f"{path.name} has {len(values)} {side}, expected one")
        if values[0].type.tensor_type.elem_type != onnx.TensorProto.FLOAT:
            kind = onnx.TensorProto.DataType.Name(values[0].type.tensor_type.elem_type)
            raise ModelSpecError(f"{path.name} has {side} of type {kind}, expected FLOAT: export it in float32")
    shape = _dims(inputs[0])
    if len(shape) != 5 or any(size not in (0, wanted) for size, wanted in zip(shape[1:], expected, strict=True)):
        raise ModelSpecError(f"{path.name} takes {shape[1:]}, and the spec expects {list(expected)}")


def _free_batch(path: Path, model: onnx.ModelProto, spec: ModelSpec, shape: tuple[int, ...]) -> None:
    """Make the batch axis dynamic, run the graph with 1 and 2 inputs, and set the shapes that were seen."""
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    del model.graph.value_info[:]
    options = ort.SessionOptions()
    options.log_severity_level = _LOG_NOTHING  # failures are reported below
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(path.parent))
    example = np.random.default_rng(0).random((2, *shape), np.float32)
    name = model.graph.input[0].name
    try:
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        single = session.run(None, {name: example[:1]})[0]
    except Exception as error:  # ONNX Runtime's errors have no common base class
        raise InvalidArgument(f"{path.name} does not run: {_first_line(error)}") from error
    check_output(single.shape, spec, what=path.name)
    fixed = InvalidArgument(f"{path.name} takes one batch size only: export it with a dynamic batch axis")
    try:
        double = session.run(None, {name: example})[0]
    except Exception as error:  # as above
        raise fixed from error
    if double.shape[0] != 2 or not np.allclose(double[:1], single, atol=1e-3, rtol=1e-3):
        raise fixed
    for axis, size in enumerate(single.shape[1:], start=1):
        model.graph.output[0].type.tensor_type.shape.dim[axis].dim_value = size
    for axis, size in enumerate(shape, start=1):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_value = size


def _dims(value: onnx.ValueInfoProto) -> list[int]:
    """Return a tensor's shape, with 0 for an axis of no fixed size."""
    return [dim.dim_value for dim in value.type.tensor_type.shape.dim]


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
