"""The names by which clients know images: ids of their sessions, and of MONAI Label's datastore.

All are digests of images; a session's id has a random part, so that two windows on one image do not share clicks.
Nothing is stored for them, so that they survive a restart and hold at every gateway. Where a dialect has sessions that
end, the random part is the id of a session of ours, which ends with them.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from typing import Self

from sixpoint.errors import ImageNotFound

__all__ = ["ImageHandle"]

_ID = re.compile(r"([0-9a-f]{64})(?:-([0-9a-f]{16}|([a-z][a-z2-9]{25}))(?:-([0-9]{1,7}))?)?")


@dataclass(frozen=True)
class ImageHandle:
    """What a client calls an image.

    Attributes:
        digest: Digest of the image.
        window: Random part of a session's id; empty for the image itself.
        anchor: Id of the session of ours with which the client's ends; empty if it has no end.
        seconds: Time without use after which it ends; 0 for that of all sessions.
    """

    digest: str
    window: str = ""
    anchor: str = ""
    seconds: int = 0

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
        return cls(match[1], match[2] or "", match[3] or "", int(match[4] or 0))

    def __str__(self) -> str:
        seconds = f"-{self.seconds}" if self.seconds else ""
        return f"{self.digest}-{self.window}{seconds}" if self.window else self.digest

    def request_id(self, model: str, attempt: int = 0) -> str:
        """Return the request id with which the session of ours is opened, and found again.

        Args:
            model: Name of the model.
            attempt: Number of sessions of this name that have ended.
        """
        return hashlib.sha256(f"monai-label/{self}/{model}/{attempt}".encode()).hexdigest()
