"""Split the body of a form (multipart/form-data, RFC 7578) into its parts, whatever the pieces in which it arrives."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from sixpoint.errors import InvalidArgument

__all__ = ["FormParser", "PartBegin", "PartData", "boundary_of"]

_MAX_BOUNDARY = 70
# It would quote what callers send.
_silent = logging.Logger("forms")
_silent.disabled = True


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
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or boundary is None:
        raise InvalidArgument("the body is no form: expected multipart/form-data with a boundary")
    if not 1 <= len(boundary) <= _MAX_BOUNDARY or not boundary.isascii():
        raise InvalidArgument(f"the boundary of the form is not valid: expected 1 to {_MAX_BOUNDARY} characters")
    return boundary


class FormParser:
    """Parses one form.

    Args:
        boundary: What separates its parts.

    Attributes:
        ended: Whether the form's end has come.
    """

    def __init__(self, boundary: bytes) -> None:
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin_part,
                "on_part_data": self._take_data,
                "on_header_field": self._take_field,
                "on_header_value": self._take_value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._end_headers,
                "on_end": self._end,
            },
        )
        self._parser.logger = _silent
        self._events: list[PartBegin | PartData] = []
        self._field, self._value = bytearray(), bytearray()
        self._disposition = b""
        self.ended = False

    def feed(self, data: bytes) -> Iterator[PartBegin | PartData]:
        """Take the next bytes of the body; yield what they complete.

        Raises:
            InvalidArgument: The form is not well-formed.
        """
        if self.ended:
            return
        try:
            self._parser.write(data)
        except MultipartParseError:
            raise InvalidArgument(
                "the form is damaged: a boundary, or the header of a part, cannot be read, or is too long"
            ) from None
        events, self._events = self._events, []
        yield from events

    def _begin_part(self) -> None:
        self._disposition = b""

    def _take_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _take_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if self._field.lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._field.clear()
        self._value.clear()

    def _end_headers(self) -> None:
        _, options = parse_options_header(self._disposition)
        name, filename = options.get(b"name"), options.get(b"filename")
        if name is None:
            raise InvalidArgument("the form is damaged: a part has no name")
        self._events.append(PartBegin(_text(name), None if filename is None else _text(filename)))

    def _take_data(self, data: bytes, start: int, end: int) -> None:
        self._events.append(PartData(data[start:end]))

    def _end(self) -> None:
        self.ended = True


def _text(name: bytes) -> str:
    return name.decode("utf-8", "replace")
