"""Export PyTorch modules to ONNX files."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

import onnx
import torch

from exporter.graph.external_data import MAX_PROTOBUF_BYTES, write_model
from exporter.graph.network import ProbabilityNetwork
from sixpoint.errors import FailedPrecondition
from sixpoint.model_spec import ModelSpec

__all__ = ["OPSET", "export_onnx", "quiet", "save_model", "to_onnx"]

# Old enough for the ONNX Runtime of every supported Triton; nothing newer is needed.
OPSET = 18
_MIN_IR_VERSION, _IR_VERSION = 4, 9
"""Before version 4, weights had to be listed among the inputs."""


def export_onnx(
    network: ProbabilityNetwork,
    spec: ModelSpec,
    path: Path,
    *,
    metadata: Mapping[str, str],
    max_bytes: int = MAX_PROTOBUF_BYTES,
) -> None:
    """Write a network as an ONNX file that takes any batch size.

    Args:
        network: Network in evaluation mode.
        spec: Description of the model; gives names, types and shapes of the tensors: [batch, channel, z, y, x] to
            [batch, label, z, y, x].
        path: The file to write.
        metadata: Facts to store in the file.
        max_bytes: Size limit of the file; the weights of a larger model go to a second file.

    Raises:
        FailedPrecondition: PyTorch cannot export this network.
    """
    dtype = torch.float16 if spec.input.dtype == "FP16" else torch.float32
    # Batch 2: PyTorch specialises a batch of 1 to a constant.
    example = torch.zeros(2, *spec.input_shape, dtype=dtype)
    names = (spec.input.name, spec.output.name)
    with tempfile.TemporaryDirectory(prefix="sixpoint-onnx-", dir=path.parent) as folder:
        exported = Path(folder, "exported.onnx")
        to_onnx(network, example, exported, names=names, what=type(network.network).__name__)
        model = onnx.load(exported, load_external_data=False)
        save_model(model, path, metadata=metadata, source=exported.parent, max_bytes=max_bytes)


def to_onnx(module: torch.nn.Module, example: torch.Tensor, path: Path, *, names: tuple[str, str], what: str) -> None:
    """Export a module of one input and one output, with external data and any batch size.

    Args:
        module: Module in evaluation mode.
        example: Example input with batch 2.
        path: The file to write.
        names: Names of the input and the output tensor.
        what: Name of the module in errors.

    Raises:
        FailedPrecondition: PyTorch cannot export the module.
    """
    with quiet() as noise:
        try:
            torch.onnx.export(
                module,
                (example,),
                path,
                dynamo=True,
                external_data=True,
                input_names=[names[0]],
                output_names=[names[1]],
                opset_version=OPSET,
                dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
                verbose=False,
            )
        except Exception as error:  # PyTorch's exporter raises errors of a dozen kinds
            cause = str(error.__cause__ or error).strip() or noise.getvalue().strip()
            raise FailedPrecondition(f"PyTorch cannot export {what}: {cause.splitlines()[0]}") from error


def save_model(
    model: onnx.ModelProto,
    path: Path,
    *,
    metadata: Mapping[str, str],
    source: Path,
    max_bytes: int = MAX_PROTOBUF_BYTES,
) -> None:
    """Write a graph with its metadata, and without traces of the machine that made it.

    Args:
        model: The graph, which may use external data; changed in place.
        path: The file to write.
        metadata: Facts to store in the file.
        source: Folder that holds the graph's external data.
        max_bytes: Size limit of the file; the weights of a larger model go to a second file.

    Raises:
        FailedPrecondition: The result is no valid ONNX file.
    """
    _strip(model)
    model.ir_version = min(max(model.ir_version, _MIN_IR_VERSION), _IR_VERSION)
    onnx.helper.set_model_props(model, dict(sorted(metadata.items())))
    write_model(model, path, source=source, max_bytes=max_bytes)
    try:
        onnx.checker.check_model(path, full_check=True)
    except Exception as error:  # the checker and its shape inference raise errors of their own
        reason = str(error).strip().partition("\n")[0]
        raise FailedPrecondition(f"the network cannot be written as ONNX between its adapters: {reason}") from error


def _strip(model: onnx.ModelProto) -> None:
    """Remove the stack traces that PyTorch stores on every node: they hold paths of this machine."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.ClearField("doc_string")
        part.ClearField("metadata_props")


@contextlib.contextmanager
def quiet() -> Iterator[io.StringIO]:
    """Suppress PyTorch's progress output and warnings; yields the text it printed. Exceptions still propagate."""
    noise = io.StringIO()
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(noise), contextlib.redirect_stderr(noise):
            warnings.simplefilter("ignore")
            yield noise
    finally:
        logging.disable(previous)
