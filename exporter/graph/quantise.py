"""Static quantisation to int8, with quantise and dequantise nodes (QDQ) in the graph.

Ranges are calibrated on real inputs. Convolutions and matrix products are quantised, weights per channel; normalisation
and the adapters (:mod:`exporter.graph.adapters`) stay float. Ranges are symmetric, as TensorRT requires.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import onnx

from exporter.graph.export import save_model
from exporter.graph.limited_process import GraphError, LimitedProcess, RunLimits
from exporter.graph.model_files import MODEL_FILE, model_files
from sixpoint._typing import Array
from sixpoint.errors import FailedPrecondition
from sixpoint.model_spec import ModelSpec

__all__ = ["quantise"]

_COPIES = 16
"""Copies of the weights that the quantisation may have in memory."""


def quantise(model: Path, spec: ModelSpec, batch: Array, path: Path) -> None:
    """Write an int8 version of a model.

    Args:
        model: ONNX file of the model in float32.
        spec: Description of the model.
        batch: Real inputs [batch, channel, z, y, x], which show the ranges of the activations.
        path: The ONNX file to write.

    Raises:
        FailedPrecondition: The model has no layer that can be quantised, is over 2 GB, or ONNX Runtime fails.
        InvalidArgument: It takes too much time or memory.
    """
    if len(model_files(model)) > 1:
        raise FailedPrecondition("a model over 2 GB cannot be quantised: use --precision fp16")
    with tempfile.TemporaryDirectory(prefix="sixpoint-int8-") as folder:
        quantised = Path(folder, MODEL_FILE)
        _calibrate(model, spec, batch, quantised)
        result = onnx.load(quantised)
    metadata = {entry.key: entry.value for entry in onnx.load(model, load_external_data=False).metadata_props}
    if not any(node.op_type == "QuantizeLinear" for node in result.graph.node):
        raise FailedPrecondition("the network has no convolutions to quantise: use --precision fp16")
    save_model(result, path, metadata={**metadata, "precision": "int8"}, source=path.parent)


def _calibrate(model: Path, spec: ModelSpec, batch: Array, target: Path) -> None:
    """Quantise in a process of its own, which gets one input after the other."""
    limits = RunLimits.of(spec)
    # What ONNX Runtime leaves behind where it is ended lies in the folder of the result.
    process = LimitedProcess("exporter.graph.quantise_worker", limits, name=model.name, TMPDIR=str(target.parent))
    job = {
        "file": str(model.resolve()),
        "target": str(target),
        "input": spec.input.name,
        "memory_bytes": limits.memory_bytes + _COPIES * model.stat().st_size,
    }
    try:
        reply, _ = process.ask(job)
        for single in batch:
            if not reply.get("done"):
                reply, _ = process.ask({}, single[None])
        if not reply.get("done"):
            process.ask({})
    except GraphError as error:
        raise FailedPrecondition(f"the network cannot be quantised: {error}") from error
    finally:
        process.close()
