"""The parity report: how closely PyTorch, ONNX Runtime and Triton agree on the same inputs."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

__all__ = ["Agreement", "ParityReport"]


class Agreement(BaseModel):
    """How closely two outputs agree.

    Attributes:
        largest: Largest difference of a probability, 0 to 1.
        dice: Dice of the masks; all labels but the background count together.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    largest: float
    dice: float


class ParityReport(BaseModel):
    """How closely the forms of one model agree on one set of inputs.

    Attributes:
        sample: Origin of the inputs: "image", "phantom" or "calibration".
        sample_sha256: SHA-256 of the inputs.
        inputs: Number of inputs.
        reference: Form that the others are compared with: "pytorch"; "onnx", the ONNX file that was exported; or
            "onnxruntime", where the original network is not available.
        tolerance: Largest accepted difference of a probability; not applied to a model in int8.
        least_dice: Smallest accepted mean Dice of a model in int8; None for other models.
        onnxruntime: Agreement of ONNX Runtime with the reference; None where it is the reference. For a model in int8,
            whose reference is in float32, the Dice is the mean over the inputs.
        triton: Agreement of Triton with the reference, or for a model in int8 with ONNX Runtime; None if Triton was not
            asked.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    sample: str
    sample_sha256: str
    inputs: int
    reference: str
    tolerance: float
    least_dice: float | None = None
    onnxruntime: Agreement | None = None
    triton: Agreement | None = None

    def to_json(self) -> str:
        """Return the content of ``parity.json``."""
        return self.model_dump_json(indent=2) + "\n"
