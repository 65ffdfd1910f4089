"""The owner of a call, in its metadata."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from sixpoint.errors import InvalidArgument

__all__ = ["OWNER_KEY", "owner_from_metadata", "owner_to_metadata"]

OWNER_KEY = "sixpoint-owner"
"""Metadata key of the owner, a name of up to 200 characters that quotas are counted for. It is no authentication: a
proxy that knows its callers should set it. A name that is not ASCII is sent in UTF-8 under this key with the suffix
"-bin", as gRPC requires."""
_BYTES_KEY = f"{OWNER_KEY}-bin"
_MAX_CHARACTERS = 200
# Control characters, surrogates, line and paragraph separators.
_REFUSED_CATEGORIES = {"Cc", "Cs", "Zl", "Zp"}


def owner_to_metadata(name: str) -> tuple[tuple[str, str | bytes], ...]:
    """Metadata that names the owner of a call; empty for an empty name.

    Raises:
        InvalidArgument: The name is too long, or has control characters or line breaks.
    """
    _check(name)
    if not name:
        return ()
    return ((OWNER_KEY, name),) if name.isascii() else ((_BYTES_KEY, name.encode()),)


def owner_from_metadata(metadata: Iterable[tuple[str, str | bytes]]) -> str:
    """The owner that a call's metadata name; empty when they name none.

    Raises:
        InvalidArgument: The name is too long, is given twice, is not UTF-8, or has control characters or line breaks.
    """
    names = [value for key, value in metadata if key in (OWNER_KEY, _BYTES_KEY)]
    if len(names) > 1:
        raise InvalidArgument(f"a call has one owner; the metadata {OWNER_KEY} was given {len(names)} times")
    value = names[0] if names else ""
    try:
        name = value if isinstance(value, str) else value.decode()
    except UnicodeDecodeError:
        raise InvalidArgument(f"an owner's name is UTF-8 ({_BYTES_KEY})") from None
    _check(name)
    return name


def _check(name: str) -> None:
    if len(name) > _MAX_CHARACTERS:
        raise InvalidArgument(
            f"an owner's name has at most {_MAX_CHARACTERS} characters, got {len(name)} ({OWNER_KEY})"
        )
    if any(unicodedata.category(character) in _REFUSED_CATEGORIES for character in name):
        raise InvalidArgument(
            "an owner's name has letters, digits, spaces and other characters that can be seen, in UTF-8; this one has "
            f"control characters or ends of lines: correct SIXPOINT_OWNER, or the client's owner ({OWNER_KEY})"
        )
