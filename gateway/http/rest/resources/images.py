"""Images: voxels in one body or in chunks, or files of the usual kinds."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Sequence
from dataclasses import replace

from fastapi import Request, Response

from gateway.contract import ImageCalls, header_from_message, image_to_message
from gateway.core.access import Activity, Principal, Role
from gateway.core.images import ImageHeader, ImageRecord, ImageStore
from gateway.core.runtime import DeadlineLimits
from gateway.core.runtime.fairness import Places
from gateway.core.runtime.process.disk_errors import disk_errors
from gateway.http.calls import Call
from gateway.http.forms import MAX_FIELD_BYTES, MAX_SLICES, FormFile, read_content, read_form, read_raw_file
from gateway.http.image_files import ImageFiles
from gateway.http.requests.spool import Spool, SpoolFolder
from gateway.http.rest.chunks import content_range, read_chunk, receive_chunk
from gateway.http.rest.examples import IMAGE_HEADER
from gateway.http.rest.messages import json_answer
from gateway.http.rest.operations import BINARY, Header, Operation, Parameter, transcoded
from gateway.http.rest.schemas import check, schema_of, to_message
from sixpoint.errors import InvalidArgument, UploadError, Violation
from sixpoint.errors.shortening import quoted
from sixpoint.io.atomic_files import link_or_copy
from sixpoint.v1 import image_service_pb2 as image_pb
from sixpoint.volume import VOXEL_TYPES

__all__ = ["Images"]

_IMAGE = "/images/{digest}"
_UPLOAD = f"{_IMAGE}/upload"
_HEADER = "sixpoint-image"
_FORM = "multipart/form-data"
_KINDS = ("nii", "nii.gz", "nrrd", "mha", "zip", "dcm")


class Images:
    """Carries out the operations on images.

    Args:
        images: All images.
        files: Stores images that come as files.
        uploads: Places of uploads.
        spool: Files of running calls.
    """

    def __init__(self, *, images: ImageStore, files: ImageFiles, uploads: Places, spool: Spool) -> None:
        self._images = images
        self._calls = ImageCalls(images)
        self._files = files
        self._uploads = uploads
        self._spool = spool

    def operations(self, *, short: DeadlineLimits, upload: DeadlineLimits) -> Sequence[Operation]:
        """Return the operations.

        Args:
            short: Deadline of short calls.
            upload: Deadline of uploads.
        """
        return [*self._uploading(upload), *self._describing(short)]

    def _uploading(self, upload: DeadlineLimits) -> list[Operation]:
        image = schema_of(image_pb.Image.DESCRIPTOR)
        return [
            Operation(
                "POST",
                "/images",
                "uploadFile",
                "Upload an image file",
                self.post,
                Role.ANNOTATOR,
                upload,
                description="The file is the body, and the parameter format says what it is; or it is the one file of "
                "a form, and its name says what it is; or it was sent by PUT /files/DIGEST before, and there is no "
                "body. NIfTI, NRRD and MetaImage are read, as the SDK reads them; a DICOM series as a zip, or as the "
                "files of a form, whatever their names.",
                parameters=[
                    Parameter("format", "Kind of the file.", {"type": "string", "enum": list(_KINDS)}),
                    Parameter(
                        "file",
                        "SHA-256 of a file that was sent by PUT /files/DIGEST, instead of a body.",
                        {"type": "string", "pattern": "^[0-9a-f]{64}$"},
                    ),
                ],
                body={
                    "application/octet-stream": BINARY,
                    _FORM: {"type": "object", "properties": {"file": BINARY}, "required": ["file"]},
                },
                status=201,
                answer=image,
            ),
            Operation(
                "PUT",
                _IMAGE,
                "uploadVoxels",
                "Upload voxels, whole or in chunks",
                self.put,
                Role.ANNOTATOR,
                upload,
                description="The body has voxels: little-endian, x fastest, then y, then z. With Content-Range it has "
                "some of them: 202 says how many bytes have arrived, and 201 comes with the last. What a broken "
                "connection left is continued from where GET .../upload says, by any gateway.",
                headers=[
                    Header(
                        "Sixpoint-Image",
                        "Geometry and type of the voxels: an Image, as JSON.",
                        json.dumps(IMAGE_HEADER),
                        required=True,
                    ),
                    content_range("bytes 0-1048575/92160000"),
                ],
                body={"application/octet-stream": BINARY},
                status=201,
                others={
                    202: (
                        "So many bytes have arrived, and more have to come",
                        schema_of(image_pb.GetUploadResponse.DESCRIPTOR),
                    )
                },
                answer=image,
            ),
        ]

    def _describing(self, short: DeadlineLimits) -> list[Operation]:
        image = schema_of(image_pb.Image.DESCRIPTOR)
        return [
            Operation(
                "GET",
                _IMAGE,
                "getImage",
                "Describe an image",
                transcoded(
                    image_pb.GetImageRequest,
                    lambda request, call: self._calls.get_image(request, call.principal),
                    path=_IMAGE,
                    body=False,
                    part="image",
                ),
                Role.VIEWER,
                short,
                short=True,
                message=image_pb.GetImageRequest,
                answer=image,
            ),
            Operation(
                "GET",
                _UPLOAD,
                "getUpload",
                "Say how many bytes of an image have arrived",
                transcoded(
                    image_pb.GetUploadRequest,
                    lambda request, call: self._calls.get_upload(request, call.principal),
                    path=_UPLOAD,
                    body=False,
                ),
                Role.ANNOTATOR,
                short,
                short=True,
                message=image_pb.GetUploadRequest,
                answer=schema_of(image_pb.GetUploadResponse.DESCRIPTOR),
            ),
        ]

    async def post(self, call: Call) -> Response:
        """``POST /images``: take a file."""
        call.limits.check(call.principal, Activity.UPLOAD)
        async with self._uploads.take():
            folder = await call.stack.enter_async_context(self._spool.folder())
            if (digest := call.request.query_params.get("file")) is not None:
                record = await self._store_sent(digest, call, folder)
            else:
                files = await self._read(call, folder)
                async with call.while_connected():
                    record = await self._store(files, folder, call.principal)
        location = {"location": f"images/{record.digest}"}
        return await json_answer(image_to_message(record), status=201, headers=location)

    async def _store_sent(self, digest: str, call: Call, folder: SpoolFolder) -> ImageRecord:
        """Store an image from a file that was sent before."""
        kind = _kind(call.request)
        if await read_content(call, max_bytes=MAX_FIELD_BYTES):
            raise InvalidArgument(
                "the file was sent before, and a body comes, too; expected one of them",
                violations=(Violation("file", "left out, or no body"),),
            )
        async with self._images.sent_files.open(digest, principal=call.principal) as path, call.while_connected():
            # Under a name of its own, as what reads it moves it.
            file = FormFile(folder.path / "sent", f".{kind}")
            with disk_errors():
                await asyncio.to_thread(link_or_copy, path, file.path)
            return await self._store([file], folder, call.principal)

    async def _store(self, files: list[FormFile], folder: SpoolFolder, principal: Principal) -> ImageRecord:
        if len(files) > 1 or files[0].suffix == ".dcm":
            return await self._files.store_series(files, folder, principal=principal)
        if files[0].suffix == ".zip":
            return await self._files.store_zip(files[0], folder, principal=principal)
        return await self._files.store(files[0], folder, principal=principal)

    async def _read(self, call: Call, folder: SpoolFolder) -> list[FormFile]:
        limit = self._files.max_body_bytes
        if call.request.headers.get("content-type", "").startswith(_FORM):
            form = await read_form(call, folder, max_bytes=limit, max_files=MAX_SLICES)
            files = [file for each in form.files.values() for file in each]
            if not files:
                raise UploadError("the form has no file; expected an image, or the files of a DICOM series")
            return files
        kind = _kind(call.request)
        return [await read_raw_file(call, folder, suffix=f".{kind}", max_bytes=limit)]

    async def put(self, call: Call) -> Response:
        """``PUT /images/{digest}``: take voxels."""
        call.limits.check(call.principal, Activity.UPLOAD)
        header = _header(call.request)
        chunk = read_chunk(call.request)
        if chunk.total not in (None, header.byte_count) or chunk.begin + (chunk.count or 0) > header.byte_count:
            raise InvalidArgument(
                f"Content-Range does not fit the image: its voxels are the bytes 0 to {header.byte_count - 1}",
                violations=(Violation("Content-Range", f"bytes FIRST-LAST/{header.byte_count}"),),
            )
        async with (
            self._uploads.take(),
            self._images.upload(header, offset=chunk.begin, principal=call.principal) as upload,
        ):
            answer = await receive_chunk(call, upload, chunk, byte_count=header.byte_count)
            if answer is not None:
                return answer
            record = await upload.finish()
        return await json_answer(image_to_message(record), status=201, headers={"location": record.digest})


def _kind(request: Request) -> str:
    """What kind of file a request says that it sends."""
    kind = request.query_params.get("format", "")
    if kind not in _KINDS:
        raise InvalidArgument(
            f"format is {quoted(kind)}; expected what the file is: {', '.join(_KINDS)}",
            violations=(Violation("format", f"one of {', '.join(_KINDS)}"),),
        )
    return kind


def _header(request: Request) -> ImageHeader:
    """The header of an upload: what the header Sixpoint-Image says, and the digest of the path."""
    text = request.headers.get(_HEADER)
    if text is None:
        raise InvalidArgument(
            "the header Sixpoint-Image is missing: expected geometry and type of the voxels, as JSON",
            violations=(Violation("Sixpoint-Image", "an Image, as JSON"),),
        )
    fields = check(
        schema_of(image_pb.Image.DESCRIPTOR), lambda model: model.model_validate_json(text), what="Sixpoint-Image"
    )
    message = to_message(image_pb.Image, fields)
    digest = request.path_params["digest"]
    if message.digest not in ("", digest):
        raise InvalidArgument(
            "Sixpoint-Image and the path name two digests; give the image's own in the path",
            violations=(Violation("digest", "the digest in the path"),),
        )
    header = replace(header_from_message(message), digest=digest)
    if not header.byte_count and header.voxel_type in VOXEL_TYPES:
        nbytes = math.prod(header.geometry.size) * VOXEL_TYPES[header.voxel_type].itemsize
        return replace(header, byte_count=nbytes)
    return header
