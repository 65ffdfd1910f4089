"""Images as they are stored: voxels as bytes, or a file of a usual kind, sent piece by piece."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, MutableMapping
from typing import Any

from fastapi import Response

from gateway.contract import image_to_message
from gateway.core.access import Role
from gateway.core.images import ImageStore
from gateway.core.runtime import DeadlineLimits
from gateway.core.runtime.fairness import Places
from gateway.http.calls import Call
from gateway.http.rest.messages import NO_STORE, single_values
from gateway.http.rest.operations import BINARY, Operation, Parameter
from gateway.http.rest.preconditions import choose_form
from gateway.http.rest.schemas import dump
from gateway.http.windows.label_files import nifti_header, nrrd_header
from sixpoint.errors import InvalidArgument, Violation
from sixpoint.volume import Volume

__all__ = ["download_operation"]

_PATH = "/images/{digest}/voxels"
_RAW = "application/octet-stream"
_FORMS = (
    ("raw", _RAW),
    ("nii.gz", "application/x-nifti-gz"),
    ("nii", "application/x-nifti"),
    ("nrrd", "application/x-nrrd"),
)
_PIECE_BYTES = 2**20
# More effort gains a few percent of an image's size, and takes several times as long.
_LEVEL = 1
# As for downloads over gRPC: each has a few pieces in memory.
_DOWNLOADS, _OWNER_DOWNLOADS = 64, 48


def download_operation(images: ImageStore, deadlines: DeadlineLimits) -> Operation:
    """The operation that returns an image.

    Args:
        images: All images.
        deadlines: Deadline of downloads.
    """
    places = Places(_DOWNLOADS, owner_limit=_OWNER_DOWNLOADS, activity="downloads run", evict=False)

    async def download(call: Call) -> Response:
        form = choose_form(call.request, _FORMS)
        for name in single_values(call.request):
            raise InvalidArgument(
                "the request's query has a parameter that this address does not take",
                violations=(Violation(name[:80], "there is no such parameter"),),
            )
        await call.stack.enter_async_context(places.take())
        record = await images.describe(call.request.path_params["digest"], principal=call.principal)
        stored = await images.open(record.digest, tenant=call.principal.tenant)
        return _ImageReply(stored.volume, form, described=dump(image_to_message(record)).decode())

    return Operation(
        "GET",
        _PATH,
        "downloadImage",
        "Download an image: its voxels, or a file",
        download,
        Role.VIEWER,
        deadlines,
        description="As raw, the body has the voxels as they are uploaded: little-endian, x fastest, then y, then z; "
        "the header Sixpoint-Image says geometry and type. A NIfTI file has the geometry in single precision, so that "
        "it may be another image when it is uploaded again; a NRRD file is the same.",
        parameters=[
            Parameter(
                "format",
                "Form of the answer, instead of the header Accept.",
                {"type": "string", "enum": [name for name, _ in _FORMS]},
            )
        ],
        media={media_type: BINARY for _, media_type in _FORMS},
    )


class _ImageReply(Response):
    """An image, read from its file as it is sent."""

    def __init__(self, volume: Volume, form: str, *, described: str) -> None:
        voxels = volume.array
        self._head = b""
        if form == "nrrd":
            self._head = nrrd_header(volume.geometry, voxels.dtype, encoding="raw")
        elif form != "raw":
            self._head = nifti_header(volume.geometry, voxels.dtype)
        self._compress = form.endswith(".gz")
        self._voxels = memoryview(voxels.reshape(-1).view("u1"))  # type: ignore[arg-type]  # a buffer
        more = {} if form == "raw" else {"content-disposition": f'attachment; filename="image.{form}"'}
        super().__init__(headers={**NO_STORE, "content-type": dict(_FORMS)[form], "sixpoint-image": described, **more})
        del self.headers["content-length"]
        if not self._compress:
            self.headers["content-length"] = str(len(self._head) + len(self._voxels))

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        """Send the image."""
        del scope, receive
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        async for piece in self._pieces():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def _pieces(self) -> AsyncIterator[bytes]:
        packer = zlib.compressobj(_LEVEL, wbits=31) if self._compress else None
        yield packer.compress(self._head) if packer else self._head
        for begin in range(0, len(self._voxels), _PIECE_BYTES):
            # On a thread: the file may not be in memory.
            yield await asyncio.to_thread(
                packer.compress if packer else bytes, self._voxels[begin : begin + _PIECE_BYTES]
            )
        if packer:
            yield packer.flush()
