"""A model that is ready to be published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from exporter.parity.inputs import ParityInputs
from exporter.parity.report import ParityReport
from exporter.repository.config import ModelConfig
from exporter.repository.record import TensorRtEngine
from sixpoint._typing import Array

__all__ = ["PreparedModel"]


@dataclass(frozen=True, eq=False, kw_only=True)
class PreparedModel:
    """A model's files and everything that is stored with them.

    Attributes:
        model: The ONNX file, ``model.onnx``, perhaps with its weights beside it; or the TensorRT plan, ``model.plan``.
        config: Config of the model; publishing decides which versions it serves.
        inputs: Inputs on which the model's forms were compared.
        expected: Outputs of the reference for them [batch, label, z, y, x].
        parity: Report of the comparison.
        tools: Versions of the tools that made the model, by name.
        precision: Precision in which the network computes: "fp32", "fp16" or "int8".
        notes: Notes for the user.
        engine: Environment that a TensorRT plan was built in; None for an ONNX file.
    """

    model: Path
    config: ModelConfig
    inputs: ParityInputs
    expected: Array
    parity: ParityReport
    tools: Mapping[str, str]
    precision: str = "fp32"
    notes: tuple[str, ...] = ()
    engine: TensorRtEngine | None = None
