"""A version on trial: which share of the sessions a candidate answers, as a model's config says it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sixpoint.errors import ModelSpecError

__all__ = ["CANDIDATE_PARAMETER", "Candidate"]

CANDIDATE_PARAMETER = "sixpoint_candidate"
"""The parameter of a model's config that holds the candidate, as JSON: ``{"version": "3", "share": 0.1}``."""


class _Text(BaseModel):
    """The parameter's form."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: str = Field(pattern=r"^[1-9][0-9]*$")
    share: float = Field(ge=0, le=1)


@dataclass(frozen=True)
class Candidate:
    """A version that some of the sessions, or images, are given; all others get the newest one that is not on trial.

    Attributes:
        version: Of the model.
        share: Of the sessions, or of the images that are segmented, 0 to 1; 0: none, while it is being tried.
    """

    version: str
    share: float

    def serves(self, key: str) -> bool:
        """Whether a session is given the candidate; or an image, by a model that needs no session.

        The first 8 bytes of the SHA-256 of the key (UTF-8), read as a big-endian fraction of 2**64, are below the
        share. So a session, or an image, keeps its version on every gateway; and when the share grows, none goes back.

        Args:
            key: The session's id; the image's digest, in hexadecimal.
        """
        head = hashlib.sha256(key.encode()).digest()[:8]
        return int.from_bytes(head, "big") < self.share * 2**64

    def to_json(self) -> str:
        """The parameter's text."""
        return _Text(version=self.version, share=self.share).model_dump_json()

    @classmethod
    def from_json(cls, text: str) -> Candidate:
        """Read the parameter's text.

        Raises:
            ModelSpecError: It is none.
        """
        try:
            read = _Text.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            raise ModelSpecError(f"parameter {CANDIDATE_PARAMETER}: {first['msg']}") from error
        return cls(read.version, read.share)
