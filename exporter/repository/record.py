"""Files stored with a version beside its model: record, parity report, parity inputs."""

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
    """The environment that a TensorRT plan was built in, and needs to run.

    Attributes:
        gpu: Name of the GPU, as ``NVIDIA L4``.
        driver: Version of its driver; newer versions work, too.
        tensorrt: Version of TensorRT, as ``10.3.0``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    gpu: str
    driver: str
    tensorrt: str


class VersionRecord(BaseModel):
    """Record of one version of a model.

    Attributes:
        published: Time of publication, in UTC.
        sha256: SHA-256 of the model's file, joined with its weights file if it has one, as by
            ``cat model.onnx model.onnx.data | sha256sum``.
        size: Size of these files in bytes.
        precision: Precision in which the network computes: "fp32", "fp16" or "int8"; for a plan, the lowest that a
            layer may use.
        tools: Versions of the tools that made it, by name.
        engine: Environment that a TensorRT plan was built in; None for an ONNX file.
        spec: Spec of this version; the model's config has that of the serving version.
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
        """Return the content of ``version.json``."""
        return self.model_dump_json(indent=2) + "\n"

    @classmethod
    def from_json(cls, content: bytes) -> VersionRecord:
        """Read a record.

        Raises:
            FailedPrecondition: The content is not a record.
        """
        try:
            return cls.model_validate_json(content)
        except ValidationError as error:
            raise FailedPrecondition(f"{RECORD_FILE} is damaged: {error.errors()[0]['msg']}") from error


class Replaced(BaseModel):
    """The version that served before this one; a file of its own, since older exporters refuse unknown record fields.

    Attributes:
        version: Number of the version.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int = Field(ge=1)

    def to_json(self) -> str:
        """Return the content of ``replaced.json``."""
        return self.model_dump_json() + "\n"
