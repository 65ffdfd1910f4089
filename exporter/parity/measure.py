"""Measure how closely an exported model agrees with its network."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from exporter.graph.network import ProbabilityNetwork
from exporter.parity.compare import OnnxRunner, compare_outputs, probabilities, require_agreement
from exporter.parity.inputs import ParityInputs, synthetic_batch
from exporter.parity.report import Agreement, ParityReport
from sixpoint._typing import Array
from sixpoint.errors import FailedPrecondition
from sixpoint.model_spec import ModelSpec

__all__ = ["check_batches", "measure_parity", "measure_quantised_parity"]

_REFERENCE = "the model that was given"


def check_batches(model: OnnxRunner, spec: ModelSpec, *, network: ProbabilityNetwork, tolerance: float) -> float:
    """Compare an exported model with its network on synthetic batches of 1 and 2.

    Args:
        model: The exported model.
        spec: Description of the model.
        network: The network it was exported from, in evaluation mode.
        tolerance: Largest accepted difference of a probability, 0 to 1.

    Returns:
        The largest difference.

    Raises:
        FailedPrecondition: The difference is larger than the tolerance, or a probability is not finite.
    """
    largest = 0.0
    for size in (1, 2):
        batch = synthetic_batch(spec, size)
        expected, actual = (probabilities(run(batch), spec) for run in (partial(_run_pytorch, network), model))
        if not (np.isfinite(expected).all() and np.isfinite(actual).all()):
            raise FailedPrecondition("the network returns NaN or infinity for an ordinary image")
        if expected.shape != actual.shape:
            raise FailedPrecondition(
                f"the ONNX model returns shape {list(actual.shape)}, expected PyTorch's {list(expected.shape)}"
            )
        largest = max(largest, float(np.abs(expected - actual).max()))
    if largest > tolerance:
        raise FailedPrecondition(
            f"the ONNX model differs from PyTorch by {largest:.4f} in a probability; {tolerance:.4f} is allowed "
            "(--tolerance)"
        )
    return largest


def measure_parity(
    model: OnnxRunner,
    spec: ModelSpec,
    inputs: ParityInputs,
    *,
    network: ProbabilityNetwork | None,
    reference: str = "pytorch",
    tolerance: float,
) -> tuple[ParityReport, Array]:
    """Compare an exported model with its network.

    Args:
        model: The exported model.
        spec: Description of the model.
        inputs: Inputs for both.
        network: The network it was exported from; None: ONNX Runtime is the reference.
        reference: Kind of ``network`` as the report states it.
        tolerance: Largest accepted difference of a probability, 0 to 1.

    Returns:
        The report, and the outputs of the reference [batch, label, z, y, x].

    Raises:
        FailedPrecondition: The difference is larger than the tolerance, or an output is not finite.
    """
    actual = _run_singly(model, inputs.batch)
    expected = actual if network is None else _run_singly(lambda batch: _run_pytorch(network, batch), inputs.batch)
    agreement = compare_outputs(expected, actual, spec, who="ONNX Runtime")
    require_agreement(agreement, tolerance=tolerance, who="the ONNX model", reference=_REFERENCE)
    report = ParityReport(
        sample=inputs.source,
        sample_sha256=inputs.digest,
        inputs=len(inputs.batch),
        reference="onnxruntime" if network is None else reference,
        tolerance=tolerance,
        onnxruntime=None if network is None else agreement,
    )
    return report, expected


def measure_quantised_parity(
    model: OnnxRunner,
    spec: ModelSpec,
    inputs: ParityInputs,
    *,
    network: ProbabilityNetwork,
    reference: str,
    tolerance: float,
    least_dice: float,
) -> tuple[ParityReport, Array]:
    """Compare the masks of a model in int8 with those of its network in float32.

    Args:
        model: The quantised model.
        spec: Description of the model.
        inputs: Inputs for both.
        network: The network it was exported from.
        reference: Kind of ``network`` as the report states it.
        tolerance: Tolerance that the model in float32 was held to; the report states it.
        least_dice: Smallest accepted mean Dice over the inputs.

    Returns:
        The report, and the outputs of ONNX Runtime [batch, label, z, y, x].

    Raises:
        FailedPrecondition: The mean Dice is too small, or an output is not finite.
    """
    actual = _run_singly(model, inputs.batch)
    expected = _run_singly(lambda batch: _run_pytorch(network, batch), inputs.batch)
    agreements = [
        compare_outputs(expected[index : index + 1], actual[index : index + 1], spec, who="ONNX Runtime")
        for index in range(len(actual))
    ]
    overall = Agreement(
        largest=max(agreement.largest for agreement in agreements),
        dice=round(float(np.mean([agreement.dice for agreement in agreements])), 6),
    )
    who = "the model in int8"
    require_agreement(overall, tolerance=tolerance, who=who, reference=_REFERENCE, least_dice=least_dice)
    report = ParityReport(
        sample=inputs.source,
        sample_sha256=inputs.digest,
        inputs=len(actual),
        reference=reference,
        tolerance=tolerance,
        least_dice=least_dice,
        onnxruntime=overall,
    )
    return report, actual


def _run_pytorch(network: ProbabilityNetwork, batch: Array) -> Array:
    with torch.inference_mode():
        output: Array = network(torch.from_numpy(batch)).numpy()
    return output


def _run_singly(run: Callable[[Array], Array], batch: Array) -> Array:
    """Run each input of a batch by itself, which bounds the memory."""
    return np.concatenate([run(batch[index : index + 1]) for index in range(len(batch))])
