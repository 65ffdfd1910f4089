"""A rollout: the version on trial (the candidate), and the share of the sessions that get it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sixpoint.errors import ModelSpecError

__all__ = ["CANDIDATE_PARAMETER", "Candidate"]

CANDIDATE_PARAMETER = "sixpoint_candidate"
"""Name of the parameter of ``config.pbtxt`` with the candidate, as JSON: ``{"version": "3", "share": 0.1}``."""


class _CandidateModel(BaseModel):
    """Schema of the parameter."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: str = Field(pattern=r"^[1-9][0-9]*$")
    share: float = Field(ge=0, le=1)


@dataclass(frozen=True)
class Candidate:
    """A version that a share of the sessions, or images, get; the others get the newest version that is not on trial.

    Attributes:
        version: Version of the model.
        share: Share of the sessions, or of the images to segment, 0 to 1; 0 while only the exporter asks it.
    """

    version: str
    share: float

    def serves(self, key: str) -> bool:
        """Whether a session, or an image to segment, gets the candidate.

        It does if the first 8 bytes of the SHA-256 of the key (UTF-8), read as a big-endian fraction of 2**64, are
        below the share. So a session or image gets the same version on every gateway, and keeps the candidate when the
        share grows.

        Args:
            key: Id of the session, or digest of the image in hexadecimal.
        """
        head = hashlib.sha256(key.encode()).digest()[:8]
        return int.from_bytes(head, "big") < self.share * 2**64

    def to_json(self) -> str:
        """Text of the parameter."""
        return _CandidateModel(version=self.version, share=self.share).model_dump_json()

    @classmethod
    def from_json(cls, text: str) -> Candidate:
        """Parse the text of the parameter.

        Raises:
            ModelSpecError: The text is no candidate.
        """
        try:
            read = _CandidateModel.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            raise ModelSpecError(f"parameter {CANDIDATE_PARAMETER}: {first['msg']}") from error
        return cls(read.version, read.share)
