"""The name for quotas and lists that a call bears, as its metadata and back."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from sixpoint.errors import InvalidArgument

__all__ = ["OWNER_KEY", "owner_from_metadata", "owner_to_metadata"]

OWNER_KEY = "sixpoint-owner"
"""Metadata of a call: a name for quotas and lists, up to 200 characters. It is no proof of identity: a proxy that
knows its callers sets it. What is not ASCII stands in UTF-8 under this key with "-bin" behind it, as gRPC has it."""
_BYTES_KEY = f"{OWNER_KEY}-bin"
_MOST = 200
# Control characters, halves of characters, ends of lines and paragraphs.
_REFUSED = {"Cc", "Cs", "Zl", "Zp"}


def owner_to_metadata(name: str) -> tuple[tuple[str, str | bytes], ...]:
    """What a call of this owner bears; nothing for an empty name.

    Raises:
        InvalidArgument: When the name is too long, or has characters that no name has.
    """
    _check(name)
    if not name:
        return ()
    return ((OWNER_KEY, name),) if name.isascii() else ((_BYTES_KEY, name.encode()),)


def owner_from_metadata(metadata: Iterable[tuple[str, str | bytes]]) -> str:
    """The owner that a call names; empty when it names none.

    Raises:
        InvalidArgument: When the name is too long, is given twice, is not UTF-8, or has characters that no name has.
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
    if len(name) > _MOST:
        raise InvalidArgument(f"an owner's name has at most {_MOST} characters, got {len(name)} ({OWNER_KEY})")
    if any(unicodedata.category(character) in _REFUSED for character in name):
        raise InvalidArgument(
            "an owner's name has letters, digits, spaces and other characters that can be seen, in UTF-8; this one has "
            f"control characters or ends of lines: correct SIXPOINT_OWNER, or the client's owner ({OWNER_KEY})"
        )
