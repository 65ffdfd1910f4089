"""Eight-bit integers in place of floats: static, weights by channel, quantise and dequantise nodes (QDQ) in the graph.

What a network's ranges are is seen on real inputs. Convolutions and products of matrices are quantised; normalisation
and all between the network and the tensors of the model (:mod:`exporter.graph.adapters`) stay float. Symmetric, as
TensorRT wants it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from exporter.graph.export import quiet, save_model
from exporter.graph.external_data import model_files
from exporter.parity.inputs import ParityInputs
from sixpoint._typing import Array
from sixpoint.errors import FailedPrecondition
from sixpoint.model_spec import ModelSpec

__all__ = ["quantise"]

_OPERATORS = ["Conv", "ConvTranspose", "Gemm", "MatMul"]


class _Inputs(CalibrationDataReader):  # type: ignore[misc]
    """One input after the other, as onnxruntime asks for them."""

    def __init__(self, name: str, batch: Array) -> None:
        self._feeds: Iterator[dict[str, Array]] = ({name: one[None]} for one in batch)

    def get_next(self) -> dict[str, Array] | None:
        return next(self._feeds, None)


def quantise(model: Path, spec: ModelSpec, inputs: ParityInputs, path: Path) -> None:
    """Write a model in int8.

    Args:
        model: The one in float32.
        spec: Of the model.
        inputs: Real inputs.
        path: The ONNX file to write.

    Raises:
        FailedPrecondition: It has nothing that int8 is for, is too large, or onnxruntime cannot quantise it.
    """
    if len(model_files(model)) > 1:
        raise FailedPrecondition("a model over 2 GB is not quantised: use --precision fp16")
    graph = onnx.load(model)
    metadata = {entry.key: entry.value for entry in graph.metadata_props}
    try:
        with quiet(), tempfile.TemporaryDirectory(prefix="sixpoint-int8-") as folder:
            made = Path(folder, "model.onnx")
            quantize_static(
                graph,
                made,
                _Inputs(spec.input.name, inputs.batch),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=_OPERATORS,
                per_channel=True,
                activation_type=QuantType.QInt8,
                weight_type=QuantType.QInt8,
                extra_options={"ActivationSymmetric": True, "WeightSymmetric": True},
            )
            result = onnx.load(made)
    except Exception as error:  # onnxruntime's errors have no base of their own
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise FailedPrecondition(f"the network cannot be quantised: {reason}") from error
    if not any(node.op_type == "QuantizeLinear" for node in result.graph.node):
        raise FailedPrecondition("the network has no convolutions to quantise: use --precision fp16")
    save_model(result, path, metadata={**metadata, "precision": "int8"}, source=path.parent)
