"""Uploads in chunks: which bytes come with a call, and what is answered while bytes are missing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from fastapi import Request, Response

from gateway.core.images import Upload
from gateway.http.calls import Call
from gateway.http.rest.messages import json_answer
from gateway.http.rest.operations import Header
from sixpoint.errors import InvalidArgument, UploadError, Violation
from sixpoint.v1 import image_service_pb2 as image_pb

__all__ = ["Chunk", "content_range", "read_chunk", "receive_chunk"]

_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")


def content_range(example: str) -> Header:
    """Return the header that says which bytes are in the body.

    Args:
        example: A value.
    """
    schema = {"type": "string", "pattern": f"^{_CONTENT_RANGE.pattern}$"}
    return Header("Content-Range", "Which bytes are in the body: bytes FIRST-LAST/TOTAL.", example, schema)


@dataclass(frozen=True)
class Chunk:
    """Which bytes come with a call.

    Attributes:
        begin: Number of the first one.
        count: How many; None if the call does not say it.
        total: How many there are in all; None if the call does not say it.
    """

    begin: int = 0
    count: int | None = None
    total: int | None = None


def read_chunk(request: Request) -> Chunk:
    """Return which bytes come with a request: by Content-Range (RFC 9110, section 14.5), else all.

    Raises:
        InvalidArgument: Content-Range cannot be read.
    """
    text = request.headers.get("content-range")
    if text is None:
        return Chunk()
    match = _CONTENT_RANGE.fullmatch(text.strip())
    if match is None:
        raise InvalidArgument(
            "Content-Range cannot be read; expected such as bytes 0-1048575/92160000",
            violations=(Violation("Content-Range", "bytes FIRST-LAST/TOTAL"),),
        )
    begin, last = int(match[1]), int(match[2])
    chunk = Chunk(begin, last + 1 - begin, None if match[3] == "*" else int(match[3]))
    if last < begin or last >= (chunk.total or last + 1):
        raise InvalidArgument(
            "Content-Range ends before it begins, or beyond the total; expected such as bytes 0-1048575/92160000",
            violations=(Violation("Content-Range", "bytes FIRST-LAST/TOTAL"),),
        )
    return chunk


async def receive_chunk(call: Call, upload: Upload[Any], chunk: Chunk, *, byte_count: int) -> Response | None:
    """Write the body of a call; returns the answer if more bytes have to come, None if it was the last chunk.

    Args:
        call: The call.
        upload: The upload.
        chunk: Which bytes come.
        byte_count: Size of what is uploaded in bytes.

    Raises:
        UploadError: More or fewer bytes came than were announced; with fewer, the upload can be continued.
    """
    async for data in call.chunks():
        await upload.write(data)
    arrived = upload.received
    if chunk.count is None:
        return None
    if arrived != chunk.begin + chunk.count:
        upload.ended_early = arrived < chunk.begin + chunk.count
        advice = "send the rest" if upload.ended_early else "send all of it again"
        raise UploadError(
            f"Content-Range announced {chunk.count} bytes, and {arrived - chunk.begin} arrived; {advice}",
            violations=(Violation("Content-Range", "the bytes of the body"),),
        )
    if arrived < byte_count:
        return await json_answer(image_pb.GetUploadResponse(received_byte_count=arrived), status=202)
    return None
