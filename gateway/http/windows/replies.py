"""Answers as MONAI Label's clients read them: parameters and a file in one body, or one of the two."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from fastapi import Response
from fastapi.responses import JSONResponse

from sixpoint.errors import InvalidArgument
from sixpoint.errors.shortening import quoted

__all__ = ["FileReply", "check_output", "multipart_reply", "result_reply"]

_CHUNK_BYTES = 2**18
_OUTPUTS = ("image", "json", "all")


def check_output(output: str, *, more: Sequence[str] = ()) -> str:
    """Return what of the result a client asks for; nothing for all of it.

    Args:
        output: What it asks for.
        more: What else the door sends.

    Raises:
        InvalidArgument: It is nothing that is sent.
    """
    outputs = (*more, *_OUTPUTS)
    if output and output not in outputs:
        expected = f"{', '.join(outputs[:-1])} or {outputs[-1]}"
        raise InvalidArgument(f"output is {quoted(output)}; expected {expected}")
    return output


class FileReply(Response):
    """A file, with bytes before and after it. Its length is announced: clients do not read chunked bodies.

    Args:
        path: The file.
        media_type: Media type of the body.
        before: Bytes before the file.
        after: Bytes after it.
        headers: More headers.
    """

    def __init__(
        self,
        path: Path,
        *,
        media_type: str,
        before: bytes = b"",
        after: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        size = path.stat().st_size + len(before) + len(after)
        super().__init__(headers={"content-length": str(size), "content-type": media_type, **(headers or {})})
        self._path = path
        self._before = before
        self._after = after

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        """Send the file, piece by piece."""
        del receive
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        if scope["method"] != "HEAD":
            async for chunk in self._chunks():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def _chunks(self) -> AsyncIterator[bytes]:
        if self._before:
            yield self._before
        with self._path.open("rb") as file:
            while chunk := await asyncio.to_thread(_next, file):
                yield chunk
        if self._after:
            yield self._after


def result_reply(params: Mapping[str, object], path: Path, *, suffix: str, output: str) -> Response:
    """Return the answer to an inference.

    Args:
        params: Parameters of the result.
        path: File with the label map.
        suffix: Kind of the file.
        output: What the client asks for.
    """
    if output == "json":
        return JSONResponse(params)
    name = f"label{suffix}"
    if output == "image":
        disposition = {"content-disposition": f'attachment; filename="{name}"'}
        return FileReply(path, media_type="application/octet-stream", headers=disposition)
    return multipart_reply(json.dumps(params).encode(), path, suffix=suffix)


def multipart_reply(params: bytes, path: Path, *, suffix: str) -> Response:
    """Return parameters and a file in one body.

    Args:
        params: Parameters of the result, JSON.
        path: The file.
        suffix: Kind of the file.
    """
    boundary = secrets.token_hex(16)
    # Content-Type is the last header of each part, and the JSON comes first: MITK looks for exactly this.
    before = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="params"\r\nContent-Type: application/json\r\n\r\n'
    ).encode()
    between = (
        f'\r\n--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="label{suffix}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    ).encode()
    return FileReply(
        path,
        media_type=f"multipart/form-data; boundary={boundary}",
        before=before + params + between,
        after=f"\r\n--{boundary}--\r\n".encode(),
    )


def _next(file: BinaryIO) -> bytes:
    return file.read(_CHUNK_BYTES)
