"""Read ONNX files from other tools: checked against the spec, and made to take any batch size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

from exporter.graph.adapters import network_shape
from exporter.graph.compose import NetworkGraph, opset_of
from exporter.graph.export import OPSET
from exporter.graph.external_data import iter_nodes, iter_tensors, source_files
from exporter.graph.limited_process import GraphError
from exporter.graph.network import check_output
from exporter.graph.session import GraphSession, require_small_window
from exporter.sources.model import SourceModel, provenance_of
from sixpoint._typing import Array
from sixpoint.errors import InvalidArgument, ModelSpecError
from sixpoint.model_spec import ModelSpec

__all__ = ["OnnxNetwork", "load_onnx", "read_onnx"]

_MIN_OPSET, _MAX_OPSET = 13, 21
"""The adapters' operators have kept their meaning since 13; Triton 24.10's ONNX Runtime 1.19 supports up to 21."""


class OnnxNetwork(nn.Module):
    """An ONNX file as a PyTorch module, with which the composed graph is compared.

    Args:
        path: The file.
        spec: Description of the model.
        output: Name of the output to take.
    """

    def __init__(self, path: Path, spec: ModelSpec, *, output: str) -> None:
        super().__init__()
        self.session, self.output = GraphSession(path, spec), output

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        """Return the output for ``value`` [batch, channel, its spatial axes]; inputs run one by one."""
        inputs = [single[None].contiguous().numpy() for single in value]
        return torch.from_numpy(np.concatenate([self.session.run(single, output=self.output) for single in inputs]))


def load_onnx(path: Path, spec: ModelSpec, *, folder: Path) -> SourceModel:
    """Read a model from an ONNX file and its spec.

    Args:
        path: The file.
        spec: Description of the model.
        folder: Folder for intermediate files.

    Raises:
        InvalidArgument: The file cannot be served; see :func:`read_onnx`.
        ModelSpecError: The graph's tensors do not match the spec.
    """
    # First, since it refuses weights outside the file's folder.
    provenance = provenance_of(path, "onnx_sha256", "torch", "onnx")
    graph = read_onnx(path, spec, folder=folder)
    output, others = graph.model.graph.output[0].name, graph.left_out
    notes = (f"of the outputs of {path.name}, {output} was taken, not {', '.join(others)}",) if others else ()
    network = OnnxNetwork(path, spec, output=output)
    return SourceModel(spec=spec, network=network, provenance=provenance, graph=graph, reference="onnx", notes=notes)


def read_onnx(path: Path, spec: ModelSpec, *, folder: Path) -> NetworkGraph:
    """Read the ONNX graph of a network, check it against a spec, and make it take any batch size.

    Args:
        path: The file.
        spec: Description of the model.
        folder: Folder for intermediate files.

    Returns:
        The graph; its external data stays in its files.

    Raises:
        InvalidArgument: The file is not an ONNX model, has weights outside its folder or weights that are not finite,
            needs operators that Triton does not have, takes one batch size only, or too much time or memory.
        ModelSpecError: The graph's tensors do not match the spec, or its window is too large.
    """
    require_small_window(spec)
    source_files(path)
    try:
        model = onnx.load(path, load_external_data=False)
        onnx.checker.check_model(path, full_check=False)
    except Exception as error:  # of protobuf, the checker and the operating system
        raise InvalidArgument(
            f"{path.name} is not an ONNX model, or is truncated or damaged: {_first_line(error)}"
        ) from error
    _check_operators(path, model)
    _check_weights(path, model)
    _check_tensors(path, model, spec)
    left_out = _free_batch(path, model, spec, folder)
    return NetworkGraph(model=model, folder=path.parent, name=path.name, left_out=left_out)


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


def _check_tensors(path: Path, model: onnx.ModelProto, spec: ModelSpec) -> None:
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    if len(inputs) != 1:
        raise ModelSpecError(f"{path.name} has {len(inputs)} inputs, expected one")
    if not model.graph.output:
        raise ModelSpecError(f"{path.name} has 0 outputs, expected one")
    _require_float(path, inputs[0], side="inputs")
    expected, shape = network_shape(spec), _dims(inputs[0])
    if len(shape) != 5 or any(size not in (0, wanted) for size, wanted in zip(shape[1:], expected, strict=True)):
        hint = ""
        # A mirrored shape may also be the expected one, with other channels.
        if len(shape) == 5 and list(expected[1:]) != shape[2:] == list(expected[:0:-1]):
            fields = "roi.size runs" if spec.patch is None else "patch.size and patch.spacing run"
            hint = f": {fields} along (x, y, z), write the numbers the other way round"
        raise ModelSpecError(f"{path.name} takes {shape[1:]}, and the spec expects {list(expected)}{hint}")


def _require_float(path: Path, value: onnx.ValueInfoProto, *, side: str) -> None:
    if value.type.tensor_type.elem_type != onnx.TensorProto.FLOAT:
        kind = onnx.TensorProto.DataType.Name(value.type.tensor_type.elem_type)
        raise ModelSpecError(f"{path.name} has {side} of type {kind}, expected FLOAT: export it in float32")


def _free_batch(path: Path, model: onnx.ModelProto, spec: ModelSpec, folder: Path) -> tuple[str, ...]:
    """Make the batch axis dynamic, run the graph with 1 and 2 inputs, and set the shapes that were seen.

    Returns:
        The names of the outputs that were left out, since they have not the window's size.
    """
    shape = network_shape(spec)
    for value in (*model.graph.input, *model.graph.output):
        if value.type.tensor_type.shape.dim:
            value.type.tensor_type.shape.dim[0].dim_param = "batch"
    del model.graph.value_info[:]
    free = folder / f"batch-{path.name}"
    free.write_bytes(model.SerializeToString())
    example = np.random.default_rng(0).random((2, *shape), np.float32)
    try:
        session = GraphSession(free, spec, weights=path.parent, name=path.name)
        outputs = {value.name: session.run(example[:1], output=value.name) for value in model.graph.output}
    except GraphError as error:
        raise InvalidArgument(f"{path.name} does not run: {error}") from error
    name = _choose_output(path, outputs, spec)
    chosen = next(value for value in model.graph.output if value.name == name)
    _require_float(path, chosen, side="outputs")
    single = outputs[name]
    check_output(single.shape, spec, what=path.name)
    fixed = InvalidArgument(f"{path.name} takes one batch size only: export it with a dynamic batch axis")
    try:
        double = session.run(example, output=name)
    except GraphError as error:
        raise fixed from error
    if double.shape[0] != 2 or not np.allclose(double[:1], single, atol=1e-3, rtol=1e-3):
        raise fixed
    _state_shape(chosen, single.shape[1:])
    _state_shape(model.graph.input[0], shape)
    del model.graph.output[:]
    model.graph.output.append(chosen)
    return tuple(other for other in outputs if other != name)


def _choose_output(path: Path, outputs: Mapping[str, Array], spec: ModelSpec) -> str:
    """Return the one output that has the window's size; deep supervision adds smaller ones.

    Raises:
        ModelSpecError: Of several, none or more than one has it.
    """
    window = network_shape(spec)[1:]
    fitting = [name for name, value in outputs.items() if value.shape[2:] == window]
    if len(outputs) == 1:
        return next(iter(outputs))
    if len(fitting) != 1:
        shapes = ", ".join(f"{name} {list(value.shape[1:])}" for name, value in outputs.items())
        raise ModelSpecError(
            f"{path.name} has {len(outputs)} outputs ({shapes}), of which {len(fitting) or 'none'} have the window's "
            f"size {list(window)}: export it with the one to serve alone"
        )
    return fitting[0]


def _state_shape(value: onnx.ValueInfoProto, shape: Sequence[int]) -> None:
    """State the sizes of a tensor's axes after its batch axis."""
    del value.type.tensor_type.shape.dim[:]
    value.type.tensor_type.shape.dim.add().dim_param = "batch"
    for size in shape:
        value.type.tensor_type.shape.dim.add().dim_value = size


def _dims(value: onnx.ValueInfoProto) -> list[int]:
    """Return a tensor's shape, with 0 for an axis of no fixed size."""
    return [dim.dim_value for dim in value.type.tensor_type.shape.dim]


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
