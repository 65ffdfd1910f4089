"""The token in the header ``authorization``."""

from __future__ import annotations

import re

from gateway.authentication.refusal import Refusal

__all__ = ["MAX_TOKEN_BYTES", "bearer_token"]

MAX_TOKEN_BYTES = 16 * 2**10
"""Longest token that is looked at."""

_SCHEME = "bearer"
# RFC 6750; two headers that were joined have a comma.
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")


def bearer_token(authorization: str) -> str | Refusal | None:
    """Return the token of a header; None without a header, a refusal if it is none that a token can be read from."""
    if not authorization:
        return None
    if len(authorization) > MAX_TOKEN_BYTES + len(_SCHEME) + 1:
        return Refusal(
            "malformed", f"the token has more than {MAX_TOKEN_BYTES >> 10} KiB; log in again: sixpoint login"
        )
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != _SCHEME or not _TOKEN.fullmatch(token):
        return Refusal(
            "malformed", "the header authorization is no single 'Bearer TOKEN'; set SIXPOINT_TOKEN to one token"
        )
    return token
