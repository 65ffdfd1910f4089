"""Files that are sent in chunks, for an image that is read from them."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

from fastapi import Request, Response

from gateway.core.access import Activity, Role
from gateway.core.images import FileHeader, ImageStore
from gateway.core.runtime import DeadlineLimits
from gateway.core.runtime.fairness import Places
from gateway.http.calls import Call
from gateway.http.errors import HttpRefusal
from gateway.http.image_files import ImageFiles
from gateway.http.rest.chunks import Chunk, content_range, read_chunk, receive_chunk
from gateway.http.rest.messages import json_answer, single_values
from gateway.http.rest.operations import BINARY, Operation
from gateway.http.rest.schemas import schema_of
from sixpoint.errors import InvalidArgument, UploadError, Violation
from sixpoint.v1 import image_service_pb2 as image_pb

__all__ = ["Files"]

_FILE = "/files/{digest}"


class Files:
    """Carries out the operations on files.

    Args:
        images: All images, and the files that were sent for them.
        files: Stores images that come as files.
        uploads: Places of uploads.
    """

    def __init__(self, *, images: ImageStore, files: ImageFiles, uploads: Places) -> None:
        self._images = images
        self._files = files
        self._uploads = uploads

    def operations(self, *, short: DeadlineLimits, upload: DeadlineLimits) -> Sequence[Operation]:
        """Return the operations.

        Args:
            short: Deadline of short calls.
            upload: Deadline of uploads.
        """
        received = schema_of(image_pb.GetUploadResponse.DESCRIPTOR)
        return [
            Operation(
                "PUT",
                _FILE,
                "uploadFileChunk",
                "Upload a file in chunks",
                self.put,
                Role.ANNOTATOR,
                upload,
                description="The name of the file is its SHA-256. With Content-Range the body has some of its bytes: "
                "202 says how many have arrived, and 201 comes with the last. What a broken connection left is "
                "continued from where GET says, by any gateway. POST /images?file=DIGEST then reads the image, and "
                "removes the file.",
                headers=[content_range("bytes 0-1048575/92160000")],
                body={"application/octet-stream": BINARY},
                status=201,
                others={202: ("So many bytes have arrived, and more have to come", received)},
                answer=received,
            ),
            Operation(
                "GET",
                _FILE,
                "getFile",
                "Say how many bytes of a file have arrived",
                self.get,
                Role.ANNOTATOR,
                short,
                short=True,
                description="0 if none have, if an image was read from it, or if it was left alone for too long.",
                answer=received,
            ),
        ]

    async def get(self, call: Call) -> Response:
        """``GET /files/{digest}``: say how many bytes have arrived."""
        _refuse_query(call.request)
        digest = call.request.path_params["digest"]
        received = await self._images.sent_files.received(digest, principal=call.principal)
        return await json_answer(image_pb.GetUploadResponse(received_byte_count=received))

    async def put(self, call: Call) -> Response:
        """``PUT /files/{digest}``: take bytes."""
        _refuse_query(call.request)
        call.limits.check(call.principal, Activity.UPLOAD)
        chunk = read_chunk(call.request)
        header = FileHeader(call.request.path_params["digest"], _total(call.request, chunk))
        if header.byte_count > self._files.max_body_bytes:
            error = InvalidArgument(f"the file is too large: expected at most {self._files.max_body_bytes} bytes")
            raise HttpRefusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, error)
        sent_files = self._images.sent_files
        async with (
            self._uploads.take(),
            sent_files.upload(header, offset=chunk.begin, principal=call.principal) as upload,
        ):
            answer = await receive_chunk(call, upload, chunk, byte_count=header.byte_count)
            if answer is not None:
                return answer
            await upload.finish()
        return await json_answer(image_pb.GetUploadResponse(received_byte_count=header.byte_count), status=201)


def _total(request: Request, chunk: Chunk) -> int:
    """Size of the file in bytes."""
    length = request.headers.get("content-length", "")
    if chunk.total is not None:
        total = chunk.total
    elif chunk.count is None and length.isdecimal():
        total = int(length[:20])
    else:
        raise InvalidArgument(
            "nothing says how many bytes the file has; expected a total in Content-Range, or all of the file in one "
            "body with Content-Length",
            violations=(Violation("Content-Range", "bytes FIRST-LAST/TOTAL"),),
        )
    if not total:
        raise UploadError("the file is empty; send one with an image")
    return total


def _refuse_query(request: Request) -> None:
    if names := list(single_values(request)):
        raise InvalidArgument(
            "the request's query has parameters that this address does not take; leave them out",
            violations=tuple(Violation(name[:80], "there is no such parameter") for name in names[:10]),
        )
