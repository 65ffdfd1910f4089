"""Read the body of a call: a form whose files go to the disk as they arrive, or a small JSON document."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BufferedWriter
from pathlib import Path

from gateway.core.runtime.process.disk_errors import disk_errors
from gateway.http.calls import Call
from gateway.http.errors import HttpRefusal
from gateway.http.requests.multipart import FormParser, PartBegin, PartData, boundary_of
from gateway.http.requests.spool import SpoolFolder
from sixpoint.errors import InvalidArgument

__all__ = [
    "MAX_FIELD_BYTES",
    "MAX_SLICES",
    "Form",
    "FormFile",
    "parse_object",
    "read_content",
    "read_form",
    "read_object",
    "read_raw_file",
]

# Several times what the largest calls need. JSON of a MiB would keep the event loop from its other work.
MAX_FIELD_BYTES = 2**18
"""Longest field of a form, and longest JSON document."""
_MAX_PARTS = 64
MAX_SLICES = 4096
"""Largest number of files of a DICOM series."""
_WRITE_BYTES = 2**20
_SUFFIX_LENGTH = 16


@dataclass(frozen=True)
class FormFile:
    """A file of a form.

    Attributes:
        path: Where it lies.
        suffix: Last part of the name that the client gave, in lower case, such as ``.nii.gz``. The name itself, which
            may be a patient's, is forgotten.
    """

    path: Path
    suffix: str


@dataclass
class Form:
    """The content of a form.

    Attributes:
        fields: Texts by name.
        files: Files by name.
    """

    fields: dict[str, str] = field(default_factory=dict)
    files: dict[str, list[FormFile]] = field(default_factory=dict)

    def file(self, name: str) -> FormFile | None:
        """The only file of a name; None without one.

        Raises:
            InvalidArgument: There are several.
        """
        files = self.files.get(name, [])
        if len(files) > 1:
            raise InvalidArgument(f"the form has {len(files)} files {name}; expected one")
        return files[0] if files else None


async def read_form(
    call: Call,
    folder: SpoolFolder,
    *,
    max_bytes: int,
    max_files: int = _MAX_PARTS,
    max_field_bytes: int = MAX_FIELD_BYTES,
) -> Form:
    """Read a form; a call without a body has an empty one.

    Args:
        call: The call.
        folder: Where its files are put.
        max_bytes: Largest body.
        max_files: Largest number of files.
        max_field_bytes: Longest field; JSON beyond the default is not for the event loop to parse.

    Raises:
        InvalidArgument: The body is no form, is damaged, or has too many parts.
        HttpRefusal: The body is too large, or does not come.
        ResourceExhausted: There is no room for its files.
    """
    content_type = call.request.headers.get("content-type", "")
    if not content_type.startswith("multipart/"):
        if await read_content(call, max_bytes=MAX_FIELD_BYTES):
            raise InvalidArgument("the body is no form: expected multipart/form-data")
        return Form()
    _check_length(call, max_bytes)
    parser, reader = FormParser(boundary_of(content_type)), _FormWriter(folder, max_files, max_field_bytes)
    received = 0
    try:
        async for chunk in call.chunks():
            received += len(chunk)
            if received > max_bytes:
                raise _too_large(max_bytes)
            for event in parser.feed(chunk):
                await reader.take(event)
        if not parser.ended:
            raise InvalidArgument("the form ended early: its last boundary is missing; send it again")
        await reader.end_part()
    finally:
        reader.close()
    return reader.form


async def read_raw_file(call: Call, folder: SpoolFolder, *, suffix: str, max_bytes: int) -> FormFile:
    """Put a body that is a file on the disk.

    Args:
        call: The call.
        folder: Where the file is put.
        suffix: Last part of its name, such as ``.nii.gz``.
        max_bytes: Largest body.

    Raises:
        HttpRefusal: The body is too large, or does not come.
        ResourceExhausted: There is no room for it.
    """
    _check_length(call, max_bytes)
    writer = _FormWriter(folder)
    received = 0
    try:
        await writer.take(PartBegin("file", suffix))
        async for chunk in call.chunks():
            received += len(chunk)
            if received > max_bytes:
                raise _too_large(max_bytes)
            await writer.take(PartData(chunk))
        await writer.end_part()
    finally:
        writer.close()
    return FormFile(writer.form.files["file"][0].path, suffix)


async def read_object(call: Call) -> dict[str, object]:
    """Read a JSON object; an empty body is an empty one.

    Raises:
        InvalidArgument: The body is something else.
        HttpRefusal: The body is too large, or does not come.
    """
    return parse_object(
        (await read_content(call, max_bytes=MAX_FIELD_BYTES)).decode("utf-8", "replace"), what="the body"
    )


def parse_object(text: str, *, what: str) -> dict[str, object]:
    """Parse a JSON object; an empty text is an empty one.

    Raises:
        InvalidArgument: The text is something else.
    """
    try:
        value = json.loads(text) if text.strip() else {}
        if "\\u" in text:
            # Half a surrogate pair is a text that nothing can store or send.
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise InvalidArgument(f"{what} is no JSON; expected an object in JSON") from None
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InvalidArgument(f"{what} is a JSON {type(value).__name__}; expected an object")
    return dict(value)


async def read_content(call: Call, *, max_bytes: int) -> bytes:
    """Read a small body.

    Args:
        call: The call.
        max_bytes: Largest body.

    Raises:
        HttpRefusal: The body is too large, or does not come.
    """
    _check_length(call, max_bytes)
    body = bytearray()
    async for chunk in call.chunks():
        body += chunk
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
    return bytes(body)


def _check_length(call: Call, limit: int) -> None:
    length = call.request.headers.get("content-length", "")
    if length.isdecimal() and int(length[:20]) > limit:
        raise _too_large(limit)


def _too_large(limit: int) -> HttpRefusal:
    return HttpRefusal(413, InvalidArgument(f"the body is too large: expected at most {limit} bytes"))


class _FormWriter:
    """Puts the parts of a form where they belong, with little in memory."""

    def __init__(
        self, folder: SpoolFolder, max_files: int = _MAX_PARTS, max_field_bytes: int = MAX_FIELD_BYTES
    ) -> None:
        self.form = Form()
        self._folder = folder
        self._max_files = max_files
        self._max_field_bytes = max_field_bytes
        self._part: PartBegin | None = None
        self._waiting = bytearray()
        self._file: BufferedWriter | None = None
        self._files = 0

    async def take(self, event: PartBegin | PartData) -> None:
        if isinstance(event, PartBegin):
            await self.end_part()
            self._begin(event)
            return
        self._waiting += event.data
        if self._file is None:
            if len(self._waiting) > self._max_field_bytes:
                raise _too_large(self._max_field_bytes)
        elif len(self._waiting) >= _WRITE_BYTES:
            await self._write()

    def _begin(self, part: PartBegin) -> None:
        # Fields stay in memory, files do not.
        is_file = part.filename is not None
        count, limit = (self._files, self._max_files) if is_file else (len(self.form.fields), _MAX_PARTS)
        if count >= limit:
            raise InvalidArgument(f"the form has too many parts: expected at most {limit}")
        self._part = part
        if part.filename is not None:
            # Never the client's own name: it may lead elsewhere, and may be a patient's.
            self._files += 1
            path = self._folder.path / f"part{self._files}"
            with disk_errors():
                self._file = path.open("wb")
            self.form.files.setdefault(part.name, []).append(FormFile(path, _suffix(part.filename)))

    async def end_part(self) -> None:
        part, self._part = self._part, None
        if part is None:
            return
        if self._file is not None:
            await self._write()
            self.close()
            return
        if part.name in self.form.fields:
            raise InvalidArgument("a field of the form comes twice; send each once")
        self.form.fields[part.name] = self._waiting.decode("utf-8", "replace")
        self._waiting.clear()

    async def _write(self) -> None:
        data, self._waiting = bytes(self._waiting), bytearray()
        self._folder.reserve(len(data))
        assert self._file is not None
        with disk_errors():
            await asyncio.to_thread(self._file.write, data)

    def close(self) -> None:
        if self._file is not None:
            with disk_errors():
                self._file.close()
            self._file = None


def _suffix(filename: str) -> str:
    name = filename.replace("\\", "/").rpartition("/")[2].lower()
    for double in (".nii.gz", ".seg.nrrd"):
        if name.endswith(double):
            return double
    return Path(name).suffix[:_SUFFIX_LENGTH]
