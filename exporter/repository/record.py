"""What is kept with a version, beside its model's file."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sixpoint.errors import FailedPrecondition
from sixpoint.model_spec import ModelSpec

__all__ = [
    "PARITY_FILE",
    "PARITY_INPUTS_FILE",
    "RECORD_FILE",
    "REPLACED_FILE",
    "Replaced",
    "TensorRtEngine",
    "VersionRecord",
]

RECORD_FILE = "version.json"
PARITY_FILE = "parity.json"
PARITY_INPUTS_FILE = "parity.npz"
REPLACED_FILE = "replaced.json"


class TensorRtEngine(BaseModel):
    """What a TensorRT plan was built with, and alone runs with.

    Attributes:
        gpu: Name of the GPU, as ``NVIDIA L4``.
        driver: Version of its driver; a newer one will do.
        tensorrt: Version of TensorRT, as ``10.3.0``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    gpu: str
    driver: str
    tensorrt: str


class VersionRecord(BaseModel):
    """One version of a model.

    Attributes:
        published: When, UTC.
        sha256: Of its model's file, and of the file with its weights after it where there is one: what
            ``cat model.onnx model.onnx.data | sha256sum`` says.
        size: Of these files, in bytes.
        precision: In what the network computes: "fp32", "fp16" or "int8"; of a plan, the least that a layer may.
        tools: Versions of what made it, by name.
        engine: Of a TensorRT plan; None: it is an ONNX file.
        spec: Of this version; the model's config has that of the version which serves.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    published: datetime
    sha256: str
    size: int
    precision: str = "fp32"
    tools: dict[str, str]
    engine: TensorRtEngine | None = None
    spec: ModelSpec

    def to_json(self) -> str:
        """The record as it lies beside the model's file."""
        return self.model_dump_json(indent=2) + "\n"

    @classmethod
    def from_json(cls, content: bytes) -> VersionRecord:
        """Read a record.

        Raises:
            FailedPrecondition: It is none.
        """
        try:
            return cls.model_validate_json(content)
        except ValidationError as error:
            raise FailedPrecondition(f"{RECORD_FILE} is damaged: {error.errors()[0]['msg']}") from error


class Replaced(BaseModel):
    """What served until a version came to serve; a file of its own, as exporters refuse a record with a field more.

    Attributes:
        version: Its number.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int = Field(ge=1)

    def to_json(self) -> str:
        """The text as it lies beside the record."""
        return self.model_dump_json() + "\n"
