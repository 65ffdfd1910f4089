"""What a DICOMweb server is told about who asks."""

from __future__ import annotations

import base64

from sixpoint.errors import InvalidArgument
from sixpoint.io.secret_files import secret_from_environment

__all__ = ["TOKEN_VARIABLE", "authorization", "authorization_from_environment"]

TOKEN_VARIABLE = "SIXPOINT_DICOMWEB_TOKEN"
"""Variable of a token, or of ``user:password``; with ``_FILE`` at its end, of the path of a file that holds it."""


def authorization(secret: str) -> str:
    """Return the header Authorization for a secret.

    Args:
        secret: A token, or ``user:password``; no token has a colon. Empty for none.

    Returns:
        The header's value; empty without a secret.

    Raises:
        InvalidArgument: It cannot be sent. The message does not repeat it.
    """
    if not secret:
        return ""
    if ":" in secret:
        return f"Basic {base64.b64encode(secret.encode()).decode()}"
    if not secret.isascii() or not secret.isprintable() or " " in secret:
        raise InvalidArgument(f"{TOKEN_VARIABLE} is neither a token nor user:password")
    return f"Bearer {secret}"


def authorization_from_environment() -> str:
    """Return the header for the secret of the environment; empty without one.

    Raises:
        InvalidArgument: The variables contradict each other, or the file cannot be used.
    """
    return authorization(secret_from_environment(TOKEN_VARIABLE) or "")
