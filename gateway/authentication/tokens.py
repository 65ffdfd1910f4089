"""Tokens from the file of tokens, in the header ``authorization`` and in paths of URLs."""

from __future__ import annotations

import time
from collections.abc import Callable

from gateway.authentication.bearer import bearer_token
from gateway.authentication.refusal import Refusal
from gateway.authentication.token_editing import TOKEN_PREFIX, token_digest
from gateway.authentication.token_file import EntryKind, TokenFile
from gateway.core.access import Credentials, Method, Principal

__all__ = ["PathTokenMethod", "TokenMethod", "find_principal"]


class TokenMethod:
    """Tokens in the header ``authorization: Bearer sxp_...``.

    Args:
        file: The file of tokens.
    """

    def __init__(self, file: TokenFile) -> None:
        self._file = file

    async def identify(self, credentials: Credentials) -> Principal | Refusal | None:
        """Return who has the token; None if there is no token of this form."""
        token = bearer_token(credentials.authorization)
        if not isinstance(token, str) or not token.startswith(TOKEN_PREFIX):
            return None
        return await find_principal(self._file, EntryKind.HEADER, token_digest(token), method="tokens")


class PathTokenMethod:
    """Tokens in the path of a URL, for viewers that cannot send headers.

    They are entries of a kind of their own: a path is written in more places than a header, and what is found there
    must not open more than viewers need.

    Args:
        file: The file of tokens.
    """

    def __init__(self, file: TokenFile) -> None:
        self._file = file

    async def identify(self, credentials: Credentials) -> Principal | Refusal | None:
        """Return who has the token; None if there is none in the path."""
        if not credentials.path_token:
            return None
        return await find_principal(self._file, EntryKind.PATH, token_digest(credentials.path_token), method="path")


async def find_principal(
    file: TokenFile, kind: EntryKind, key: str, *, method: Method, clock: Callable[[], float] = time.time
) -> Principal | Refusal:
    """Return the principal of an entry, or why there is none.

    Args:
        file: The file of tokens.
        kind: Kind of the entry.
        key: SHA-256 of the token, or the name in the certificate.
        method: How the caller proved who it is.
        clock: Function that returns the time, seconds since 1970.
    """
    entry = await file.find(kind, key)
    if entry is None:
        return Refusal("unknown")
    if entry.expires is not None and entry.expires <= clock():
        return Refusal("expired")
    return Principal(entry.subject, entry.tenant, entry.roles, method, entry.expires)
