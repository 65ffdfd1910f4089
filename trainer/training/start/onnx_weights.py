"""Read the weights of an exported network back into PyTorch's names.

The exporter's files bear the names of the state dict. PyTorch's exporter folds a few weights into constants without
names: those of GroupNorm and PReLU are found by the order in which the network computes, and the outputs that were
stored with the version prove it.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from sixpoint._typing import Array
from sixpoint.errors import InvalidArgument, ModelSpecError
from sixpoint.model_spec import ModelSpec
from trainer.training.network import build_network
from trainer.training.start.misfit import describe_misfit, first_few

__all__ = ["read_onnx_weights"]

_PREFIXES = ("network.", "network/", "")
"""Of the exporter's own networks, of ONNX files that it composed, and of ``torch.onnx.export`` of a bare network."""
_FOLDED: tuple[tuple[type[nn.Module], tuple[tuple[str, str], ...]], ...] = (
    (nn.GroupNorm, (("weight", "Mul"), ("bias", "Add"))),
    (nn.PReLU, (("weight", "PRelu"),)),
)
"""Modules whose weights become constants without names, and the operators that take them."""
_SAMPLE, _REPORT = "parity.npz", "parity.json"
_TOLERANCE = 2 / 255


def read_onnx_weights(path: Path, spec: ModelSpec) -> dict[str, torch.Tensor]:
    """Read the state dict of a spec's network from an ONNX file, in float32.

    Args:
        path: ONNX file, in float32 or float16.
        spec: Spec of the exported model.

    Returns:
        State dict, every tensor of which is from the file; counters of batches, which no output depends on, are 0.

    Raises:
        InvalidArgument: The file is not ONNX, is quantised, or does not hold every tensor of the network. The error
            names the tensors. Or the network does not give the outputs that were stored with the version.
        ModelSpecError: The trainer cannot build the network.
    """
    model = _load(path)
    try:
        network = build_network(spec).eval()
    except ModelSpecError as error:
        raise ModelSpecError(f"{path.name} cannot be trained: {error.message}") from error
    if any(node.op_type in {"DequantizeLinear", "QLinearConv"} for node in model.graph.node):
        raise InvalidArgument(f"{path} is quantised to int8: start from a version in float32 or float16")
    values = _initializers(model, path)
    own = {name: tensor for name, tensor in network.state_dict(keep_vars=True).items() if not _is_counter(name)}
    prefix = max(_PREFIXES, key=lambda prefix: sum(prefix + name in values for name in own))
    named = {name: values[prefix + name] for name in own if prefix + name in values}
    # A tensor may have several names in the state dict, and has one in the file.
    by_tensor = {id(own[name]): value for name, value in named.items()}
    state = {name: by_tensor[id(tensor)] for name, tensor in own.items() if id(tensor) in by_tensor}
    folded = _folded_weights(model, network, spec, missing=own.keys() - state.keys())
    by_tensor |= {id(own[name]): value for name, value in folded.items()}
    state |= {name: by_tensor[id(tensor)] for name, tensor in own.items() if id(tensor) in by_tensor}
    unknown = [name for name in values if prefix and name.startswith(prefix) and name.removeprefix(prefix) not in own]
    tensors = {name: torch.from_numpy(np.array(value, np.float32)) for name, value in state.items()}
    misfit = describe_misfit(own, tensors, unknown=unknown)
    if misfit:
        folded_norm = any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in network.modules())
        hint = ": the export folds batch norms into convolutions; start from the checkpoint" if folded_norm else ""
        raise InvalidArgument(f"{path} does not hold the weights of its {type(network).__name__}: {misfit}{hint}")
    network.load_state_dict(tensors, strict=False)
    if not _agrees_with_sample(network, spec, path) and folded:
        raise InvalidArgument(
            f"{path} holds no names for {first_few(folded)}, and no {_SAMPLE} lies beside it to check them by: start "
            "from the model's folder, or from the checkpoint"
        )
    return dict(network.state_dict())


def _load(path: Path) -> Any:
    # Only a start from an exported model needs it.
    import onnx

    try:
        return onnx.load(path)
    except Exception as error:  # of protobuf, onnx's own checks and the operating system
        raise InvalidArgument(f"{path} is not an ONNX model, or is truncated or damaged") from error


def _initializers(model: Any, path: Path) -> dict[str, Array]:
    import onnx

    return {tensor.name: onnx.numpy_helper.to_array(tensor, str(path.parent)) for tensor in model.graph.initializer}


def _is_counter(name: str) -> bool:
    return name.endswith("num_batches_tracked")


def _folded_weights(model: Any, network: nn.Module, spec: ModelSpec, *, missing: set[str]) -> dict[str, Array]:
    """Find weights that became constants without names, in the order in which the network computes.

    Args:
        model: The ONNX model.
        network: The network.
        spec: Its spec, for the shape of its input.
        missing: Names in the state dict that the file lacks.

    Returns:
        Values by name in the state dict; those that are not found are left out.
    """
    if not missing:
        return {}
    constants = _constants_in_order(model)
    values: dict[str, Array] = {}
    for name, part in _modules_in_order(network, spec):
        for kind, parameters in _FOLDED:
            if not isinstance(part, kind):
                continue
            for parameter, operator in parameters:
                full = f"{name}.{parameter}"
                if full not in missing:
                    continue
                wanted = getattr(part, parameter)
                for node_operator, value in constants:
                    if node_operator == operator and value.size == wanted.numel():
                        values[full] = value.reshape(wanted.shape)
                        break
    return values


def _constants_in_order(model: Any) -> Iterator[tuple[str, Array]]:
    """Yield (operator, value) of the floating-point initializers without a PyTorch name, in the order of the nodes."""
    import onnx

    tensors = {tensor.name: tensor for tensor in model.graph.initializer if "." not in tensor.name}
    for node in model.graph.node:
        for name in node.input:
            if name in tensors:
                value = onnx.numpy_helper.to_array(tensors[name])
                if np.issubdtype(value.dtype, np.floating):
                    yield node.op_type, value


def _modules_in_order(network: nn.Module, spec: ModelSpec) -> list[tuple[str, nn.Module]]:
    """Return the modules in the order in which they first compute, found without computing anything."""
    twin = copy.deepcopy(network).to("meta")
    order: list[str] = []
    for name, part in twin.named_modules():
        part.register_forward_pre_hook(lambda *_, name=name: order.append(name))
    with torch.inference_mode():
        twin(torch.zeros(1, *spec.input_shape, device="meta"))
    parts = dict(network.named_modules())
    return [(name, parts[name]) for name in dict.fromkeys(order)]


def _agrees_with_sample(network: nn.Module, spec: ModelSpec, path: Path) -> bool:
    """Check a network against the outputs that were stored with its version; return whether there are any.

    Raises:
        InvalidArgument: The outputs differ: these are not the weights that were exported.
    """
    sample = path.with_name(_SAMPLE)
    if not sample.is_file():
        return False
    try:
        with np.load(sample, allow_pickle=False) as file:
            batch, expected = np.asarray(file["batch"], np.float32), file["expected"]
        report = path.with_name(_REPORT)
        tolerance = float(json.loads(report.read_text())["tolerance"]) if report.is_file() else _TOLERANCE
    except (OSError, ValueError, KeyError, EOFError, TypeError) as error:
        raise InvalidArgument(f"{sample} is damaged: publish the model again") from error
    expected = expected / 255.0 if expected.dtype == np.uint8 else expected.astype(np.float64)
    exclusive = spec.output_shape[0] > 1
    differences = [0.0]
    for single, answer in zip(batch, expected, strict=True):
        with torch.inference_mode():
            logits = network(torch.from_numpy(single[None]))[0]
            actual = (torch.softmax(logits, dim=0) if exclusive else torch.sigmoid(logits)).numpy()
        if actual.shape != answer.shape:
            raise InvalidArgument(f"{sample} is of another model: publish the model again")
        differences.append(float(np.abs(actual - answer).max()))
    largest = float(np.max(differences))  # NaN if one is, which max() may pass over
    # The stored outputs are rounded to 255ths: half of one is no difference.
    if not largest <= tolerance + 0.5 / 255:
        raise InvalidArgument(
            f"{path} does not compute what its version did when it was published: a probability differs by "
            f"{largest:.4f}, {tolerance:.4f} is allowed; start from the checkpoint"
        )
    return True
