"""The names by which clients know images: ids of MONAI Label's sessions, and of its datastore.

Both are digests of images; a session's id has a random part, so that two windows on one image do not share clicks.
Nothing is stored for them, so that they survive a restart and hold at every gateway.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from typing import Self

from sixpoint.errors import ImageNotFound

__all__ = ["ImageHandle"]

_ID = re.compile(r"([0-9a-f]{64})(?:-([0-9a-f]{16}))?")


@dataclass(frozen=True)
class ImageHandle:
    """What a client calls an image.

    Attributes:
        digest: Digest of the image.
        window: Random part of a session's id; empty for the image itself.
    """

    digest: str
    window: str = ""

    @classmethod
    def new(cls, digest: str) -> Self:
        """Return the id of a new session on an image."""
        return cls(digest, secrets.token_hex(8))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an id.

        Raises:
            ImageNotFound: It is none of this gateway's.
        """
        match = _ID.fullmatch(text)
        if not match:
            raise ImageNotFound(
                "no image has this id here; send the image (PUT /session/ or /datastore/), and use the id that comes "
                "back"
            )
        return cls(match[1], match[2] or "")

    def __str__(self) -> str:
        return f"{self.digest}-{self.window}" if self.window else self.digest

    def request_id(self, model: str, attempt: int = 0) -> str:
        """Return the request id with which the session of ours is opened, and found again.

        Args:
            model: Name of the model.
            attempt: Number of sessions of this name that have ended.
        """
        return hashlib.sha256(f"monai-label/{self}/{model}/{attempt}".encode()).hexdigest()
