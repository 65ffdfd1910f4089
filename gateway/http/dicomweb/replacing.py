"""Replace the address of the server behind the gateway in the JSON that it sends, whatever the pieces it comes in."""

from __future__ import annotations

__all__ = ["Replacing"]


class Replacing:
    """Replaces one text by another in a stream.

    Args:
        old: Text to replace.
        new: Text to put in its place.
    """

    def __init__(self, old: str, new: str) -> None:
        self._old = old.encode()
        self._new = new.encode()
        self._waiting = b""

    def feed(self, piece: bytes) -> bytes:
        """Take the next bytes; return those that are settled."""
        content = (self._waiting + piece).replace(self._old, self._new)
        # What may be the begin of the text waits for the rest.
        keep = next(
            (n for n in range(min(len(self._old) - 1, len(content)), 0, -1) if self._old.startswith(content[-n:])), 0
        )
        self._waiting = content[len(content) - keep :]
        return content[: len(content) - keep]

    def end(self) -> bytes:
        """Return what waited for more."""
        waiting, self._waiting = self._waiting, b""
        return waiting
