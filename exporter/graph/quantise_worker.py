"""Quantise an ONNX file on inputs from stdin, within the limits of :mod:`exporter.graph.limited_process`.

The first message names the files and the memory that this may take; each reply asks for one more input, until a message
brings none.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from exporter.graph.messages import receive, send
from exporter.graph.worker import error_reply, limit_memory

if TYPE_CHECKING:
    from sixpoint._typing import Array

__all__ = ["main"]

_OPERATORS = ["Conv", "ConvTranspose", "Gemm", "MatMul"]


class _CalibrationReader(CalibrationDataReader):  # type: ignore[misc]
    """Ask for the inputs of a batch one by one."""

    def __init__(self, name: str, replies: IO[bytes]) -> None:
        self._name, self._replies = name, replies

    def get_next(self) -> dict[str, Array] | None:
        send(self._replies, {}, None)
        _, value = receive(sys.stdin.buffer)
        return None if value is None else {self._name: value}


def main() -> None:
    """Quantise one file."""
    # What is printed by libraries must not get between the messages.
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    job, _ = receive(sys.stdin.buffer)
    reply: dict[str, Any] = {"done": True}
    try:
        limit_memory(job["memory_bytes"])
        quantize_static(
            Path(job["file"]),
            Path(job["target"]),
            _CalibrationReader(job["input"], replies),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=_OPERATORS,
            per_channel=True,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            extra_options={"ActivationSymmetric": True, "WeightSymmetric": True},
        )
    except Exception as error:  # ONNX Runtime's errors have no common base class
        reply = error_reply(error)
    send(replies, reply, None)


if __name__ == "__main__":
    main()
