"""``/session/``: clients of MONAI Label and of AIAA send an image once, and name it by an id.

Both dialects have this address, with the same answers. An image in a field ``image``, ``image0``, ``datapoint``, or
in a description of DICOM comes from a client of AIAA: its session ends when it is closed or was not used for its
``expiry``, and errors have AIAA's form. The ids tell the two kinds apart, and both dialects take both.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence

from fastapi import Response
from fastapi.responses import JSONResponse

from gateway.core.access import Activity, note_refusal
from gateway.core.images import ImageRecord, ImageStore
from gateway.core.runtime import Catalog, Model
from gateway.core.runtime.fairness import Places
from gateway.http.calls import Call
from gateway.http.dicomweb import SeriesImages
from gateway.http.errors import HttpRefusal, as_refusal
from gateway.http.forms import MAX_SLICES, FormFile, read_form, read_object
from gateway.http.image_files import ImageFiles
from gateway.http.requests.spool import Spool
from gateway.http.windows.annotating import Annotating
from gateway.http.windows.error_forms import aiaa_error_response
from gateway.http.windows.handles import ImageHandle
from gateway.http.windows.label_files import nrrd_header
from gateway.http.windows.lifetimes import MAX_SECONDS, Lifetimes
from gateway.http.windows.replies import FileReply
from sixpoint.errors import ImageNotFound, InvalidArgument, NotFound, SixpointError, UploadError
from sixpoint.errors.shortening import quoted
from sixpoint.model_spec import Task
from sixpoint.volume import VOXEL_TYPES

__all__ = ["ClientSessions", "image_file_header", "image_file_name"]

_AIAA_FIELD = re.compile(r"image[0-9]*|datapoint")
_DICOM = (".dcm", ".dicom", ".ima")
_NO_PACS = (
    "this gateway fetches images from a DICOMweb server, and none is set (SIXPOINT_DICOMWEB_URL); send the image "
    "itself, in the field image"
)


class ClientSessions:
    """Takes images, and gives ids for the windows in which clients show them.

    Args:
        images: All images.
        catalog: Models that can be used now.
        files: Stores images that come as files.
        annotating: Opens sessions of clients.
        lifetimes: Ends those of AIAA's.
        uploads: Places of uploads.
        spool: Files of running calls.
        series: Finds series of the DICOMweb server; None without one.
    """

    def __init__(
        self,
        *,
        images: ImageStore,
        catalog: Catalog,
        files: ImageFiles,
        annotating: Annotating,
        lifetimes: Lifetimes,
        uploads: Places,
        spool: Spool,
        series: SeriesImages | None,
    ) -> None:
        self._images = images
        self._catalog = catalog
        self._files = files
        self._annotating = annotating
        self._lifetimes = lifetimes
        self._uploads = uploads
        self._spool = spool
        self._series = series

    async def create(self, call: Call) -> Response:
        """``PUT /session/``: take an image, and give an id for its window in the viewer."""
        if call.request.headers.get("content-type", "").startswith("application/json"):
            with _in_aiaa_form(True):
                record, ends = await self._fetch(call), True
        else:
            record, ends = await self.upload(call, "files")
        with _in_aiaa_form(ends):
            handle = await self._open(call, record, ends=ends)
        return JSONResponse({"session_id": str(handle), "session_info": _describe(handle, record)})

    async def get(self, call: Call) -> Response:
        """``GET /session/{id}``; for MONAI Label's null if the image is gone: viewers then send it again."""
        handle = ImageHandle.parse(call.request.path_params["session_id"])
        with _in_aiaa_form(bool(handle.anchor)):
            await self._lifetimes.require(handle, principal=call.principal)
            try:
                record = await self._images.describe(handle.digest, principal=call.principal)
            except ImageNotFound as error:
                if handle.anchor:
                    raise
                note_refusal(call.auditor, call.principal, call.route, error)
                return JSONResponse(None)
            if call.request.query_params.get("image", "").lower() == "true":
                return await self.download(call, record)
        return JSONResponse(_describe(handle, record))

    async def remove(self, call: Call) -> Response:
        """``DELETE /session/{id}``: close the sessions of this window."""
        handle = ImageHandle.parse(call.request.path_params["session_id"])
        with _in_aiaa_form(bool(handle.anchor)):
            await self._lifetimes.require(handle, principal=call.principal)
            record = await self._images.describe(handle.digest, principal=call.principal)
            models = self._catalog.list(tenant=call.principal.tenant)
            await self._lifetimes.close(handle, models, principal=call.principal)
        return JSONResponse(_describe(handle, record))

    async def upload(self, call: Call, field: str) -> tuple[ImageRecord, bool]:
        """Take the image of a call; return it, and whether it comes from a client of AIAA.

        Args:
            call: The call.
            field: Name of the field, for the error message.
        """
        call.limits.check(call.principal, Activity.UPLOAD)
        async with self._uploads.take():
            folder = await call.stack.enter_async_context(self._spool.folder())
            form = await read_form(call, folder, max_bytes=self._files.max_body_bytes, max_files=MAX_SLICES)
            async with call.while_connected():
                files = [file for each in form.files.values() for file in each]
                ends = bool(files) and all(map(_AIAA_FIELD.fullmatch, form.files))
                with _in_aiaa_form(ends):
                    if ends and all(file.suffix in _DICOM for file in files):
                        return await self._files.store_series(files, folder, principal=call.principal), ends
                    file = _only_file(files, field)
                    return await self._files.store(file, folder, principal=call.principal), ends

    async def _fetch(self, call: Call) -> ImageRecord:
        """Find the image that a client of AIAA names by its place in a PACS, of which only the series counts."""
        place = (await read_object(call)).get("dicom")
        if self._series is None:
            raise InvalidArgument(_NO_PACS)
        uid = place.get("series_uid") if isinstance(place, Mapping) else None
        if not isinstance(uid, str) or not self._series.names_series(uid):
            raise InvalidArgument("the body has no dicom.series_uid; expected the UID of a series")
        folder = await call.stack.enter_async_context(self._spool.folder())
        async with call.while_connected():
            digest = await self._series.find(call, uid, folder)
            return await self._images.describe(digest, principal=call.principal)

    async def announce(self, call: Call, handle: ImageHandle) -> None:
        """Open a session of ours, so that the image is among those to annotate, and is not removed meanwhile."""
        model = next((each for each in self._catalog.list(tenant=call.principal.tenant) if _annotates(each)), None)
        if model is not None:
            await self._annotating.open(handle, model, principal=call.principal)

    async def download(self, call: Call, record: ImageRecord) -> Response:
        """Send an image as NRRD."""
        image = await self._images.open(record.digest, tenant=call.principal.tenant)
        folder = await call.stack.enter_async_context(self._spool.folder())
        folder.reserve(record.byte_count)
        path = folder.path / "image"
        await asyncio.to_thread(image.volume.array.tofile, path)
        header = image_file_header(record)
        disposition = {"content-disposition": f'attachment; filename="{image_file_name(record.digest)}"'}
        return FileReply(path, media_type="application/octet-stream", before=header, headers=disposition)

    async def _open(self, call: Call, record: ImageRecord, *, ends: bool) -> ImageHandle:
        if not ends:
            handle = ImageHandle.new(record.digest)
            await self.announce(call, handle)
            return handle
        seconds = _expiry(call.request.query_params.get("expiry", ""))
        models = self._catalog.list(tenant=call.principal.tenant)
        model = next(filter(_annotates, models), models[0] if models else None)
        if model is None:
            raise NotFound("this gateway has no models now, and so no sessions; whoever manages it has to publish some")
        return await self._lifetimes.open(record.digest, model, principal=call.principal, seconds=seconds)


def _only_file(files: Sequence[FormFile], field: str) -> FormFile:
    if len(files) != 1:
        raise UploadError(
            f"the form has {len(files)} files; expected one in its field {field}: a volume (.nii, .nii.gz, .nrrd, .mha)"
        )
    return files[0]


def image_file_header(record: ImageRecord) -> bytes:
    """Return what stands before the voxels in the file of an image, which is NRRD."""
    return nrrd_header(record.geometry, VOXEL_TYPES[record.voxel_type], encoding="raw")


def image_file_name(digest: str) -> str:
    """Return a name for the file of an image: none that a person gave."""
    return f"{digest[:12]}.nrrd"


@contextlib.contextmanager
def _in_aiaa_form(applies: bool) -> Iterator[None]:
    """Give errors the form that clients of AIAA show."""
    try:
        yield
    except (SixpointError, HttpRefusal) as error:
        if not applies:
            raise
        refusal = as_refusal(error)
        raise HttpRefusal(refusal.code, refusal.error, form=aiaa_error_response) from error


def _expiry(text: str) -> int:
    if not text:
        return 0
    if not text.isdecimal() or len(text) > len(str(MAX_SECONDS)):
        raise InvalidArgument(
            f"expiry is {quoted(text)}; expected a number of seconds, 0 for this gateway's own, at most {MAX_SECONDS}"
        )
    return int(text)


def _annotates(model: Model) -> bool:
    return model.spec.task is not Task.SEGMENTATION


def _describe(handle: ImageHandle, record: ImageRecord) -> dict[str, object]:
    """What MONAI Label tells about a session, without its paths on the server."""
    return {
        "name": str(handle),
        "path": "",
        "image": image_file_name(record.digest),
        "meta": {},
        "create_ts": int(record.created),
        "last_access_ts": int(record.used),
        "expiry": handle.seconds,
    }
