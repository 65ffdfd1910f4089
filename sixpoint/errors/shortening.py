"""Shorten text that someone else chose, before it becomes part of an error or of a log line."""

from __future__ import annotations

__all__ = ["quoted", "shorten"]

_GAP = "..."
_NAME_LENGTH = 80


def shorten(text: str, length: int = _NAME_LENGTH) -> str:
    """Return a text of at most ``length`` characters: a longer one loses its middle, as both ends tell most.

    Args:
        text: Text of any length.
        length: Largest number of characters of the result, at least 5.
    """
    if len(text) <= length:
        return text
    tail = max(1, (length - len(_GAP)) // 3)
    return text[: length - len(_GAP) - tail] + _GAP + text[-tail:]


def quoted(name: object) -> str:
    """Return a name in quotes for an error, shortened, with control characters escaped."""
    return repr(shorten(str(name)))
