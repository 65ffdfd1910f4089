"""Static quantisation to int8, with quantise and dequantise nodes (QDQ) in the graph.

Ranges are calibrated on real inputs. Convolutions and matrix products are quantised, weights per channel; normalisation
and the adapters (:mod:`exporter.graph.adapters`) stay float. Ranges are symmetric, as TensorRT requires.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from exporter.graph.export import quiet, save_model
from exporter.graph.model_files import MODEL_FILE, model_files
from sixpoint._typing import Array
from sixpoint.errors import FailedPrecondition
from sixpoint.model_spec import ModelSpec

__all__ = ["quantise"]

_OPERATORS = ["Conv", "ConvTranspose", "Gemm", "MatMul"]


class _CalibrationReader(CalibrationDataReader):  # type: ignore[misc]
    """Feed ONNX Runtime the inputs of a batch one by one."""

    def __init__(self, name: str, batch: Array) -> None:
        self._feeds: Iterator[dict[str, Array]] = ({name: single[None]} for single in batch)

    def get_next(self) -> dict[str, Array] | None:
        return next(self._feeds, None)


def quantise(model: Path, spec: ModelSpec, batch: Array, path: Path) -> None:
    """Write an int8 version of a model.

    Args:
        model: ONNX file of the model in float32.
        spec: Description of the model.
        batch: Real inputs [batch, channel, z, y, x], which show the ranges of the activations.
        path: The ONNX file to write.

    Raises:
        FailedPrecondition: The model has no layer that can be quantised, is over 2 GB, or ONNX Runtime fails.
    """
    if len(model_files(model)) > 1:
        raise FailedPrecondition("a model over 2 GB cannot be quantised: use --precision fp16")
    graph = onnx.load(model)
    metadata = {entry.key: entry.value for entry in graph.metadata_props}
    try:
        with quiet(), tempfile.TemporaryDirectory(prefix="sixpoint-int8-") as folder:
            quantised = Path(folder, MODEL_FILE)
            quantize_static(
                graph,
                quantised,
                _CalibrationReader(spec.input.name, batch),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=_OPERATORS,
                per_channel=True,
                activation_type=QuantType.QInt8,
                weight_type=QuantType.QInt8,
                extra_options={"ActivationSymmetric": True, "WeightSymmetric": True},
            )
            result = onnx.load(quantised)
    except Exception as error:  # ONNX Runtime's errors have no common base class
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise FailedPrecondition(f"the network cannot be quantised: {reason}") from error
    if not any(node.op_type == "QuantizeLinear" for node in result.graph.node):
        raise FailedPrecondition("the network has no convolutions to quantise: use --precision fp16")
    save_model(result, path, metadata={**metadata, "precision": "int8"}, source=path.parent)
