"""Ids of sessions and annotations."""

from __future__ import annotations

import secrets

__all__ = ["new_id"]

# Lower-case letters and digits without the look-alikes i, l, o, 0 and 1: shells, option parsers, URLs and file systems
# that ignore case take them as they are, and people read them aloud and type them.
_LETTERS = "abcdefghjkmnpqrstuvwxyz"
_ALPHABET = _LETTERS + "23456789"
# One of 23 letters and 25 of 31 characters: 128 random bits.
_LENGTH = 26


def new_id() -> str:
    """Return a new id. Whoever knows the id of a session may use it, so it cannot be guessed.

    The id begins with a letter, so that no command line takes it for an option or a number. Gateways before 0.2 gave
    ids of 22 characters in base64url, which may begin with ``-``; they stay valid.
    """
    return secrets.choice(_LETTERS) + "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH - 1))
