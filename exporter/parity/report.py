"""The parity report: PyTorch, ONNX Runtime and Triton asked the same, and how far their answers are apart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict

from exporter.graph.network import ProbabilityNetwork
from exporter.parity.compare import probabilities, run_onnx
from exporter.parity.inputs import ParityInputs
from sixpoint._typing import Array, Bools, Float
from sixpoint.errors import FailedPrecondition
from sixpoint.metrics import dice
from sixpoint.model_spec import ModelSpec

__all__ = ["Agreement", "ParityReport", "agreement", "local_parity", "quantised_parity", "require"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Agreement(_Part):
    """How far two answers are apart.

    Attributes:
        largest: The largest difference of a probability, 0 to 1.
        dice: Of the masks: of all labels but the background together.
    """

    largest: float
    dice: float


class ParityReport(_Part):
    """How the forms of one model agree on one sample.

    Attributes:
        sample: What it was made of: "image", "phantom" or "calibration".
        sample_sha256: Of the inputs.
        inputs: How many.
        reference: What the others are compared with: "pytorch"; "onnx", the file that was exported from; or
            "onnxruntime", where the network was not at hand.
        tolerance: Largest difference that was accepted; of a model in int8 none is asked for.
        least_dice: Least mean Dice of the masks that was accepted, of a model in int8.
        onnxruntime: ONNX Runtime against the reference; None where it is the reference. Of a model in int8, whose
            reference is in float32, the Dice is the mean over the inputs.
        triton: What Triton answered, against the reference, or of a model in int8 against ONNX Runtime; None where none
            was asked.
    """

    sample: str
    sample_sha256: str
    inputs: int
    reference: str
    tolerance: float
    least_dice: float | None = None
    onnxruntime: Agreement | None = None
    triton: Agreement | None = None

    def to_json(self) -> str:
        """The report as it lies beside the model's file."""
        return self.model_dump_json(indent=2) + "\n"


def agreement(expected: Array, found: Array, spec: ModelSpec, *, who: str) -> Agreement:
    """Compare two answers [batch, label, z, y, x].

    Args:
        expected: The reference's.
        found: The other's.
        spec: Says what the values mean.
        who: Gave ``found``, for the error's text.

    Raises:
        FailedPrecondition: The shapes differ, or a value is not finite.
    """
    if expected.shape != found.shape:
        raise FailedPrecondition(f"{who} answers {list(found.shape)}, expected {list(expected.shape)}")
    one, other = probabilities(expected), probabilities(found)
    if not np.isfinite(other).all():
        raise FailedPrecondition(f"{who} answers an ordinary image with NaN or infinity")
    return Agreement(
        largest=round(float(np.abs(one - other).max()), 6), dice=round(dice(_masks(one, spec), _masks(other, spec)), 6)
    )


def require(found: Agreement, *, tolerance: float, who: str, least_dice: float | None = None) -> None:
    """Refuse a difference past the tolerance; or, where there is a least Dice, a Dice below that.

    Raises:
        FailedPrecondition: Saying how large it is.
    """
    if least_dice is not None:
        if found.dice < least_dice:
            raise FailedPrecondition(
                f"{who} has a mean Dice of {found.dice:.4f} with the model that was given; {least_dice:.4f} is asked "
                "for (--least-dice)"
            )
        return
    if found.largest > tolerance:
        raise FailedPrecondition(
            f"{who} is {found.largest:.4f} of a probability off the model that was given (Dice {found.dice:.4f}); "
            f"{tolerance:.4f} is allowed (--tolerance)"
        )


def local_parity(
    path: Path,
    spec: ModelSpec,
    sample: ParityInputs,
    *,
    network: ProbabilityNetwork | None,
    reference: str = "pytorch",
    tolerance: float,
) -> tuple[ParityReport, Array]:
    """Ask the network and ONNX Runtime.

    Args:
        path: The ONNX file.
        spec: Of the model.
        sample: What they are asked.
        network: The network that was exported; None: ONNX Runtime is the reference.
        reference: What that network is.
        tolerance: Largest difference of a probability (0..1) to accept.

    Returns:
        The report, and the reference's answers [batch, label, z, y, x].

    Raises:
        FailedPrecondition: They differ by more, or answer what is not finite.
    """
    found = _one_by_one(lambda one: run_onnx(path, spec, one), sample.batch)
    expected = found if network is None else _one_by_one(lambda one: _pytorch(network, one), sample.batch)
    agreed = agreement(expected, found, spec, who="ONNX Runtime")
    require(agreed, tolerance=tolerance, who="the ONNX model")
    report = ParityReport(
        sample=sample.source,
        sample_sha256=sample.digest,
        inputs=len(sample.batch),
        reference="onnxruntime" if network is None else reference,
        tolerance=tolerance,
        onnxruntime=None if network is None else agreed,
    )
    return report, expected


def quantised_parity(
    path: Path,
    spec: ModelSpec,
    sample: ParityInputs,
    *,
    network: ProbabilityNetwork,
    reference: str,
    tolerance: float,
    least_dice: float,
) -> tuple[ParityReport, Array]:
    """Compare a model in int8 with its network in float32, by the masks.

    Args:
        path: The ONNX file.
        spec: Of the model.
        sample: What both are asked.
        network: The network that was exported.
        reference: What that network is.
        tolerance: Largest difference that was accepted of the model in float32.
        least_dice: Least mean Dice to accept.

    Returns:
        The report, and ONNX Runtime's answers [batch, label, z, y, x].

    Raises:
        FailedPrecondition: The masks agree less, or an answer is not finite.
    """
    found = _one_by_one(lambda one: run_onnx(path, spec, one), sample.batch)
    expected = _one_by_one(lambda one: _pytorch(network, one), sample.batch)
    each = [
        agreement(expected[index : index + 1], found[index : index + 1], spec, who="ONNX Runtime")
        for index in range(len(found))
    ]
    agreed = Agreement(
        largest=max(one.largest for one in each), dice=round(float(np.mean([one.dice for one in each])), 6)
    )
    require(agreed, tolerance=tolerance, who="the model in int8", least_dice=least_dice)
    report = ParityReport(
        sample=sample.source,
        sample_sha256=sample.digest,
        inputs=len(found),
        reference=reference,
        tolerance=tolerance,
        least_dice=least_dice,
        onnxruntime=agreed,
    )
    return report, found


def _pytorch(network: ProbabilityNetwork, batch: Array) -> Array:
    with torch.inference_mode():
        answer: Array = network(torch.from_numpy(batch)).numpy()
    return answer


def _one_by_one(ask: Callable[[Array], Array], batch: Array) -> Array:
    return np.concatenate([ask(batch[index : index + 1]) for index in range(len(batch))])


def _masks(values: Float, spec: ModelSpec) -> Bools:
    """Masks [batch, label, z, y, x] of probabilities: of the one object, or of every label but the background.

    Labels that may overlap have no background, and each is cut by itself.
    """
    if spec.patch is None or not spec.output.exclusive:
        return values >= spec.output.threshold
    labels = np.arange(1, values.shape[1]).reshape(1, -1, 1, 1, 1)
    return values.argmax(axis=1)[:, None] == labels
