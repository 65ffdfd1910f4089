"""A checkpoint becomes an ONNX file that was compared with PyTorch, and the config that goes with it."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from pathlib import Path

import yaml

from exporter.checkpoint import load_weights, read_checkpoint, sha256
from exporter.model_config import ModelConfig
from exporter.network import ProbabilityNetwork, build_network
from exporter.onnx_export import export_onnx
from exporter.parity import check_parity
from sixpoint.errors import InvalidArgument
from sixpoint.spec import ModelSpec

__all__ = ["Built", "build", "read_spec"]


@dataclass(frozen=True)
class Built:
    """What an export made.

    Attributes:
        path: The ONNX file.
        config: Of the model, its provenance included.
        network: What was exported, in float32 and in evaluation mode.
        difference: The largest difference of a probability to PyTorch.
    """

    path: Path
    config: ModelConfig
    network: ProbabilityNetwork
    difference: float


def build(
    checkpoint: Path,
    spec: ModelSpec,
    *,
    name: str,
    folder: Path,
    max_batch_size: int,
    tolerance: float,
    half: bool = False,
) -> Built:
    """Export a checkpoint into ``folder``, and compare the result with PyTorch.

    Args:
        checkpoint: Weights from ``torch.save``.
        spec: What the model needs and yields; names the network.
        name: The model's name in Triton.
        folder: Where ``model.onnx`` is written.
        max_batch_size: Requests that Triton may run together.
        tolerance: Largest difference of a probability (0..1) to accept.
        half: Whether the exported network computes in float16; it is compared with the one in float32.

    Raises:
        InvalidArgument: The checkpoint cannot be read, or is not of this network.
        FailedPrecondition: PyTorch cannot export the network, or the result is off.
    """
    state = read_checkpoint(checkpoint)
    network = build_network(spec)
    load_weights(network, state)
    wrapped = ProbabilityNetwork(network, spec).eval()
    tools = {tool: importlib.metadata.version(tool) for tool in ("torch", "monai", "onnx")}
    origin = {"checkpoint_sha256": sha256(checkpoint), **tools}
    path = folder / "model.onnx"
    exported = ProbabilityNetwork(network, spec, half=True).eval() if half else wrapped
    export_onnx(exported, spec, path, metadata={**origin, "precision": "fp16"} if half else origin)
    difference = check_parity(wrapped, spec, path, tolerance=tolerance)
    described = spec.model_copy(update={"provenance": {**spec.provenance, **origin}})
    return Built(path, ModelConfig.of(described, name=name, max_batch_size=max_batch_size), wrapped, difference)


def read_spec(path: Path) -> ModelSpec:
    """Read a model's description, YAML or JSON.

    Raises:
        InvalidArgument: The file cannot be read, or is neither.
        ModelSpecError: Its content is no spec.
    """
    try:
        data = yaml.safe_load(path.read_text())
    except OSError as error:
        raise InvalidArgument(f"the spec {path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise InvalidArgument(f"the spec {path} is neither YAML nor JSON: {reason}") from error
    return ModelSpec.from_mapping(data)
