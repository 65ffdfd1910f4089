"""ONNX files that somebody else wrote: checked, run, and put between the ends that a spec asks for."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx import compose
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel
from torch import nn

from exporter.graph.adapters import InputAdapter, OutputAdapter, network_shape
from exporter.graph.export import OPSET, quiet, save_model, to_onnx
from exporter.graph.external_data import MAX_PROTOBUF_BYTES, load_weights_into, source_files
from exporter.graph.network import check_output
from sixpoint.errors import FailedPrecondition, InvalidArgument, ModelSpecError
from sixpoint.model_spec import ModelSpec

__all__ = ["OnnxNetwork", "compose_onnx", "read_onnx", "to_fp16"]

_OLDEST, _NEWEST = 13, 21
"""Since 13 the operators of the ends mean the same; Triton 24.10's ONNX Runtime 1.19 knows operators up to 21."""


class OnnxNetwork(nn.Module):
    """An ONNX file in the place of a PyTorch network: what it answers is what the composed graph is compared with.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        options = ort.SessionOptions()
        options.log_severity_level = 3  # errors, which also come as exceptions
        self.session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        """The file's answer to ``value`` [batch, channel, its spatial axes], one after the other."""
        inputs = [one[None].contiguous().numpy() for one in value]
        return torch.from_numpy(np.concatenate([self.session.run(None, {self.input: one})[0] for one in inputs]))


def read_onnx(path: Path, spec: ModelSpec) -> onnx.ModelProto:
    """Read an ONNX file, and compare it with a spec.

    Args:
        path: The file.
        spec: Of the model that is to be made of it.

    Returns:
        The graph, for any batch size; weights that lie in files beside it stay there.

    Raises:
        InvalidArgument: The file is no ONNX model or damaged, has weights in files that are not in its folder, needs
            newer operators than Triton has, has NaN weights, or serves one batch size only.
        ModelSpecError: The graph's tensors are other ones than the spec's.
    """
    source_files(path)
    try:
        model = onnx.load(path, load_external_data=False)
        onnx.checker.check_model(path, full_check=False)
    except Exception as error:  # protobuf's, the checker's and the operating system's own
        raise InvalidArgument(f"{path.name} is no ONNX model, or cut off or damaged: {_line(error)}") from error
    _check_operators(path, model)
    _check_weights(path, model)
    _check_tensors(path, model, spec)
    _free_batch(path, model, spec)
    return model


def to_fp16(model: onnx.ModelProto, *, source: Path, what: str) -> onnx.ModelProto:
    """A graph that computes in float16, between tensors that stay float32.

    Args:
        model: From :func:`read_onnx`.
        source: The folder in which the graph's weights lie, those that it does not hold itself.
        what: The file, for errors.

    Raises:
        FailedPrecondition: It has operators that cannot, or is larger than a protobuf.
    """
    if not load_weights_into(model, source=source):
        raise FailedPrecondition(f"{what} is over 2 GB: export the network itself, a checkpoint, in float16")
    try:
        with quiet():
            result: onnx.ModelProto = convert_float_to_float16(model, keep_io_types=True)
            OnnxModel(result).topological_sort()  # its casts stand at the end
    except Exception as error:  # the converter's errors have no base of their own
        raise FailedPrecondition(f"{what} cannot compute in float16: {_line(error)}") from error
    return result


def compose_onnx(
    model: onnx.ModelProto,
    spec: ModelSpec,
    path: Path,
    *,
    metadata: Mapping[str, str],
    source: Path,
    max_bytes: int = MAX_PROTOBUF_BYTES,
) -> None:
    """Write a graph with what the spec asks for before and after it.

    Args:
        model: From :func:`read_onnx`.
        spec: Of the model.
        path: The file to write.
        metadata: Facts to keep in the file.
        source: The folder in which the graph's weights lie, those that it does not hold itself.
        max_bytes: Bytes that the file may come to; the weights of what is larger lie in a file beside it.
    """
    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    whole.graph.CopyFrom(compose.add_prefix_graph(model.graph, "network/"))
    seen, answer = whole.graph.input[0].name, whole.graph.output[0].name
    dtype = torch.float16 if spec.input.dtype == "FP16" else torch.float32
    image = torch.zeros(2, *spec.input_shape, dtype=dtype)
    # The prefixes are part of the file: another one would change the SHA-256 of every export.
    before = _end("Entry/", InputAdapter(spec), image, (spec.input.name, seen), like=model)
    channels = model.graph.output[0].type.tensor_type.shape.dim[1].dim_value
    logits = torch.zeros(2, channels, *network_shape(spec)[1:])
    after = _end("Head/", OutputAdapter(spec), logits, (answer, spec.output.name), like=model)
    # onnx.compose.merge_models checks what it made, and does not find weights that lie in files.
    nodes = [*before.graph.node, *whole.graph.node, *after.graph.node]
    for field, values in (
        ("node", nodes),
        ("input", list(before.graph.input)),
        ("output", list(after.graph.output)),
        ("value_info", []),  # shapes of a fixed batch, perhaps
    ):
        whole.graph.ClearField(field)
        getattr(whole.graph, field).extend(values)
    whole.graph.initializer.extend([*before.graph.initializer, *after.graph.initializer])
    save_model(whole, path, metadata=metadata, source=source, max_bytes=max_bytes)


def _end(
    prefix: str, end: nn.Module, sample: torch.Tensor, names: tuple[str, str], *, like: onnx.ModelProto
) -> onnx.ModelProto:
    """One of the ends as a graph of the same operators' version as another one."""
    with tempfile.TemporaryDirectory(prefix="sixpoint-end-") as folder:
        path = Path(folder, "end.onnx")
        to_onnx(end.eval(), sample, path, names=names, what=type(end).__name__)
        model = onnx.load(path)
    model.graph.CopyFrom(compose.add_prefix_graph(model.graph, prefix, rename_inputs=False, rename_outputs=False))
    model.opset_import[0].version = _opset(like)
    model.ir_version = like.ir_version
    del model.functions[:]
    del model.metadata_props[:]
    return model


def _check_operators(path: Path, model: onnx.ModelProto) -> None:
    strangers = {entry.domain for entry in model.opset_import} - {"", "ai.onnx"}
    used = {node.domain for node in model.graph.node} - {"", "ai.onnx"}
    if used:
        raise InvalidArgument(
            f"{path.name} has operators of {', '.join(sorted(used))}, which Triton does not have: export it with "
            "standard operators"
        )
    kept = [entry for entry in model.opset_import if entry.domain not in strangers]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    opset = _opset(model)
    if not _OLDEST <= opset <= _NEWEST:
        raise InvalidArgument(
            f"{path.name} is of opset {opset}, and {_OLDEST} to {_NEWEST} are served: export it again with "
            f"opset_version={OPSET}"
        )


def _check_weights(path: Path, model: onnx.ModelProto) -> None:
    for tensor in model.graph.initializer:
        try:
            values = onnx.numpy_helper.to_array(tensor, str(path.parent))
        except (OSError, ValueError) as error:
            raise InvalidArgument(f"{path.name} has weights that cannot be read: {_line(error)}") from error
        if np.issubdtype(values.dtype, np.floating) and not np.isfinite(values).all():
            raise InvalidArgument(f"{path.name} has weights that are NaN or infinite: {tensor.name}")


def _check_tensors(path: Path, model: onnx.ModelProto, spec: ModelSpec) -> None:
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    for what, values in (("inputs", inputs), ("outputs", model.graph.output)):
        if len(values) != 1:
            raise ModelSpecError(f"{path.name} has {len(values)} {what}, and a model has one")
        if values[0].type.tensor_type.elem_type != onnx.TensorProto.FLOAT:
            kind = onnx.TensorProto.DataType.Name(values[0].type.tensor_type.elem_type)
            raise ModelSpecError(f"{path.name} has {what} of {kind}, expected FLOAT: export it in single precision")
    found, expected = _dims(inputs[0]), network_shape(spec)
    if len(found) != 5 or any(mine not in (0, its) for mine, its in zip(found[1:], expected, strict=True)):
        raise ModelSpecError(f"{path.name} takes {found[1:]}, and the spec's network {list(expected)}")


def _free_batch(path: Path, model: onnx.ModelProto, spec: ModelSpec) -> None:
    """Let the batch be of any size, and see that it is; and what comes out."""
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    del model.graph.value_info[:]
    options = ort.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is said below
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(path.parent))
    sample = np.random.default_rng(0).random((2, *network_shape(spec)), np.float32)
    name = model.graph.input[0].name
    try:
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        single = session.run(None, {name: sample[:1]})[0]
    except Exception as error:  # onnxruntime's errors have no base of their own
        raise InvalidArgument(f"{path.name} does not run: {_line(error)}") from error
    check_output(single.shape, spec, what=path.name)
    fixed = InvalidArgument(f"{path.name} serves batches of one size only: export it with a dynamic batch axis")
    try:
        double = session.run(None, {name: sample})[0]
    except Exception as error:  # likewise
        raise fixed from error
    if double.shape[0] != 2 or not np.allclose(double[:1], single, atol=1e-3, rtol=1e-3):
        raise fixed
    for axis, size in enumerate(single.shape[1:], start=1):
        model.graph.output[0].type.tensor_type.shape.dim[axis].dim_value = size
    for axis, size in enumerate(network_shape(spec), start=1):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_value = size


def _dims(value: onnx.ValueInfoProto) -> list[int]:
    """A tensor's shape; 0 where an axis has no fixed size."""
    return [dim.dim_value for dim in value.type.tensor_type.shape.dim]


def _opset(model: onnx.ModelProto) -> int:
    return max((entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"}), default=0)


def _line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
