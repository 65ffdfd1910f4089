"""Compare two outputs of a model, and refuse those that differ too much."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from exporter.graph.session import GraphSession
from exporter.parity.report import Agreement
from sixpoint._typing import Array, Bools, Float
from sixpoint.errors import FailedPrecondition
from sixpoint.metrics import dice
from sixpoint.model_spec import ModelSpec

__all__ = ["OnnxRunner", "compare_outputs", "probabilities", "require_agreement", "run_onnx"]


class OnnxRunner:
    """An ONNX file loaded into ONNX Runtime on the CPU.

    Args:
        path: The ONNX file.
        spec: Description of the model; names its output.

    Raises:
        GraphError: ONNX Runtime refuses the file.
        InvalidArgument: It takes too much time or memory.
    """

    def __init__(self, path: Path, spec: ModelSpec) -> None:
        self._session, self._output = GraphSession(path, spec), spec.output.name

    def __call__(self, batch: Array) -> Array:
        """Return the output [batch, label, z, y, x] for a batch [batch, channel, z, y, x]."""
        return self._session.run(batch, output=self._output)


def run_onnx(path: Path, spec: ModelSpec, batch: Array) -> Array:
    """Run an ONNX file once on a batch [batch, channel, z, y, x]."""
    return OnnxRunner(path, spec)(batch)


def probabilities(output: Array, spec: ModelSpec) -> Float:
    """Convert a model's output [batch, label, z, y, x] to probabilities in 0..1, whatever its type and contents."""
    values: Float = output.astype(np.float32) / np.float32(255 if output.dtype == np.uint8 else 1)
    if spec.patch is None or spec.patch.average == "probabilities":
        return values
    if spec.output.exclusive and spec.activation != "sigmoid":
        values = np.exp(values - values.max(axis=1, keepdims=True))
        values /= values.sum(axis=1, keepdims=True)
    elif spec.activation == "sigmoid":
        values = np.float32(0.5) + np.float32(0.5) * np.tanh(values / np.float32(2))  # does not overflow
    return values


def compare_outputs(expected: Array, actual: Array, spec: ModelSpec, *, who: str) -> Agreement:
    """Compare two outputs [batch, label, z, y, x].

    Args:
        expected: Output of the reference.
        actual: Output to compare with it.
        spec: Description of the model.
        who: Origin of ``actual`` in errors.

    Raises:
        FailedPrecondition: The shapes differ, or a value is not finite.
    """
    if expected.shape != actual.shape:
        raise FailedPrecondition(f"{who} returns shape {list(actual.shape)}, expected {list(expected.shape)}")
    reference, other = probabilities(expected, spec), probabilities(actual, spec)
    if not np.isfinite(other).all():
        raise FailedPrecondition(f"{who} returns NaN or infinity for an ordinary image")
    return Agreement(
        largest=round(float(np.abs(reference - other).max()), 6),
        dice=round(dice(_masks(reference, spec), _masks(other, spec)), 6),
    )


def require_agreement(
    agreement: Agreement, *, tolerance: float, who: str, reference: str, least_dice: float | None = None
) -> None:
    """Refuse a model that differs too much from its reference.

    Args:
        agreement: The comparison.
        tolerance: Largest accepted difference of a probability.
        who: Name of the model's form in errors.
        reference: Name of the reference in errors.
        least_dice: Smallest accepted Dice; if given, it replaces the tolerance.

    Raises:
        FailedPrecondition: The difference is larger than the tolerance, or the Dice is below ``least_dice``.
    """
    if least_dice is not None:
        if agreement.dice < least_dice:
            raise FailedPrecondition(
                f"{who} has a mean Dice of {agreement.dice:.4f} with {reference}, expected at least {least_dice:.4f} "
                "(--least-dice)"
            )
        return
    if agreement.largest > tolerance:
        raise FailedPrecondition(
            f"{who} differs from {reference} by {agreement.largest:.4f} in a probability (Dice {agreement.dice:.4f}); "
            f"{tolerance:.4f} is allowed (--tolerance)"
        )


def _masks(values: Float, spec: ModelSpec) -> Bools:
    """Convert probabilities to masks [batch, label, z, y, x] of the object, or of every label but the background.

    Labels that may overlap have no background; each is thresholded by itself.
    """
    if spec.patch is None or not spec.output.exclusive:
        return values >= spec.output.threshold
    labels = np.arange(1, values.shape[1]).reshape(1, -1, 1, 1, 1)
    return values.argmax(axis=1)[:, None] == labels
