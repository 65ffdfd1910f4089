"""ONNX Runtime sessions on the CPU."""

from __future__ import annotations

from pathlib import Path

import onnxruntime as ort

__all__ = ["open_session"]

_LOG_ERRORS = 3  # ONNX Runtime also raises them as exceptions


def open_session(path: Path) -> ort.InferenceSession:
    """Load an ONNX file into ONNX Runtime."""
    options = ort.SessionOptions()
    options.log_severity_level = _LOG_ERRORS
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
