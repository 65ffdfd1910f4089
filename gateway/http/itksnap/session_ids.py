"""The ids of ITK-SNAP's sessions: a model's name and a random part, from which sessions of ours are found.

Nothing is stored for them, so that they survive a restart, and hold at every gateway.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from typing import Self

from sixpoint.errors import SessionNotFound

__all__ = ["SnapId"]

_ID = re.compile(r"([\w.-]{1,200})\.([0-9a-f]{32})", re.ASCII)


@dataclass(frozen=True)
class SnapId:
    """The id of a session of ITK-SNAP's, which shows one image after another.

    Attributes:
        model: Name of the model that answers.
        random: Random part.
    """

    model: str
    random: str

    @classmethod
    def new(cls, model: str) -> Self:
        """Return the id of a new session."""
        return cls(model, secrets.token_hex(16))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an id.

        Raises:
            SessionNotFound: It is none of a gateway's.
        """
        match = _ID.fullmatch(text)
        if not match:
            raise SessionNotFound(
                "no session has this id here; choose the server in ITK-SNAP again, which then begins a new one"
            )
        return cls(match[1], match[2])

    def __str__(self) -> str:
        return f"{self.model}.{self.random}"

    def request_id(self, image: int) -> str:
        """Return the request id with which the session of ours on an image is opened, and found again.

        Args:
            image: Number of images before it.
        """
        return hashlib.sha256(f"itk-snap/{self}/{image}".encode()).hexdigest()
