"""The number format in which a network computes."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["NumericPrecision"]


class NumericPrecision(StrEnum):
    """Number format of a network's weights and activations."""

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"
