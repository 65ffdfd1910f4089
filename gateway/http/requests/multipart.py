"""Split the body of a form (multipart/form-data, RFC 7578) into its parts, whatever the pieces in which it arrives."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message

from sixpoint.errors import InvalidArgument

__all__ = ["FormParser", "PartBegin", "PartData", "boundary_of"]

_MAX_HEADER_BYTES = 8 * 2**10
_MAX_BOUNDARY = 70


@dataclass(frozen=True)
class PartBegin:
    """A part begins.

    Attributes:
        name: Name of the field.
        filename: Name of the file as the client gave it; None for a field without one.
    """

    name: str
    filename: str | None


@dataclass(frozen=True)
class PartData:
    """Bytes of the part that began last."""

    data: bytes


def boundary_of(content_type: str) -> bytes:
    """Return what separates the parts of a form.

    Args:
        content_type: Header of the request.

    Raises:
        InvalidArgument: It is no form.
    """
    header = Message()
    header["content-type"] = content_type
    boundary = header.get_param("boundary")
    if header.get_content_type() != "multipart/form-data" or not isinstance(boundary, str):
        raise InvalidArgument("the body is no form: expected multipart/form-data with a boundary")
    if not 1 <= len(boundary) <= _MAX_BOUNDARY or not boundary.isascii():
        raise InvalidArgument(f"the boundary of the form is not valid: expected 1 to {_MAX_BOUNDARY} characters")
    return boundary.encode()


class FormParser:
    """Parses one form.

    Args:
        boundary: What separates its parts.

    Attributes:
        ended: Whether the form's end has come.
    """

    def __init__(self, boundary: bytes) -> None:
        self._delimiter = b"\r\n--" + boundary
        # The first delimiter stands at the begin of the body, without a line before it.
        self._buffer = bytearray(b"\r\n")
        self._in_part: bool | None = None
        self.ended = False

    def feed(self, data: bytes) -> Iterator[PartBegin | PartData]:
        """Take the next bytes of the body; yield what they complete.

        Raises:
            InvalidArgument: The form is not well-formed.
        """
        if self.ended:
            return
        self._buffer += data
        while not self.ended:
            event = self._next_header() if self._in_part is False else self._next_data()
            if event is None:
                return
            yield from event

    def _next_data(self) -> list[PartBegin | PartData] | None:
        """Content of a part up to the next delimiter, or what cannot be part of one; None if more bytes are needed."""
        place = self._buffer.find(self._delimiter)
        if place < 0:
            safe = len(self._buffer) - len(self._delimiter) + 1
            if safe <= 0:
                return None
            return self._take(safe) or None
        after = place + len(self._delimiter)
        if len(self._buffer) < after + 2:
            return self._take(place) or None
        events = self._take(place)
        tail = bytes(self._buffer[len(self._delimiter) : len(self._delimiter) + 2])
        if tail == b"--":
            self.ended = True
            self._buffer.clear()
            return events
        if tail != b"\r\n":
            raise InvalidArgument("the form is damaged: a boundary is followed by other bytes")
        del self._buffer[: len(self._delimiter) + 2]
        self._in_part = False
        return events

    def _take(self, count: int) -> list[PartBegin | PartData]:
        content = bytes(self._buffer[:count])
        del self._buffer[:count]
        # What stands before the first delimiter is no part.
        return [PartData(content)] if content and self._in_part else []

    def _next_header(self) -> list[PartBegin | PartData] | None:
        end = self._buffer.find(b"\r\n\r\n")
        if (end if end >= 0 else len(self._buffer)) > _MAX_HEADER_BYTES:
            raise InvalidArgument("the form is damaged: the header of a part is too long")
        if end < 0:
            return None
        header = Message()
        for line in self._buffer[:end].decode("utf-8", "replace").split("\r\n"):
            key, _, value = line.partition(":")
            if key.strip().lower() == "content-disposition":
                header["content-disposition"] = value.strip()
        name = header.get_param("name", header="content-disposition")
        if not isinstance(name, str):
            raise InvalidArgument("the form is damaged: a part has no name")
        # The empty line ends the header; a part without content has its delimiter right after it.
        del self._buffer[: end + 4]
        self._in_part = True
        return [PartBegin(name, header.get_filename())]
