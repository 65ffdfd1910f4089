"""Names and digests of a model's files: an ONNX file, perhaps with its weights beside it, or a TensorRT plan."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

__all__ = ["DATA_FILE", "MODEL_FILE", "PLAN_FILE", "model_file_name", "model_files", "sha256_of_files"]

MODEL_FILE = "model.onnx"
PLAN_FILE = "model.plan"
DATA_FILE = f"{MODEL_FILE}.data"


def model_file_name(backend: str) -> str:
    """Return the name of the file that a Triton backend loads from a version's folder."""
    return PLAN_FILE if backend == "tensorrt" else MODEL_FILE


def model_files(path: Path) -> list[Path]:
    """Return the files of a model that the exporter wrote: ``path``, and its weights file if there is one."""
    data = path.with_name(f"{path.name}.data")
    return [path, data] if data.is_file() else [path]


def sha256_of_files(files: Iterable[Path]) -> str:
    """Return the SHA-256 of files joined in order, in hexadecimal: ``cat model.onnx model.onnx.data | sha256sum``."""
    result = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            while block := file.read(2**20):
                result.update(block)
    return result.hexdigest()
