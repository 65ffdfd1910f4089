"""Images: the sessions and the datastore of MONAI Label, over the gateway's own images and sessions."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass

from fastapi import Response
from fastapi.responses import JSONResponse

from gateway.core.access import Activity, note_refusal
from gateway.core.images import ImageRecord, ImageStore
from gateway.core.runtime import Catalog, Model
from gateway.core.runtime.fairness import Places
from gateway.core.sessions import Session, Sessions
from gateway.http.calls import Call
from gateway.http.forms import Form, FormFile, read_form, read_object
from gateway.http.image_files import ImageFiles
from gateway.http.monai_label.info import STRATEGIES, describe, model_type
from gateway.http.requests.spool import Spool, SpoolFolder
from gateway.http.windows.annotating import Annotating
from gateway.http.windows.handles import ImageHandle
from gateway.http.windows.label_files import nrrd_header
from gateway.http.windows.names import ImageNames
from gateway.http.windows.replies import FileReply
from sixpoint.errors import ImageNotFound, NotFound, UploadError
from sixpoint.errors.shortening import quoted
from sixpoint.volume import VOXEL_TYPES

__all__ = ["Datastore"]

_PAGE = 1000


@dataclass(frozen=True)
class _Sample:
    """An image that the caller opened, and whether it has annotations."""

    digest: str
    created: float
    annotated: bool


class Datastore:
    """Takes and gives images, and tells which of them to annotate next.

    Args:
        images: All images.
        sessions: All sessions.
        catalog: Models that can be used now.
        files: Stores images that come as files.
        annotating: Opens sessions of clients.
        names: Names that clients gave to images.
        uploads: Places of uploads.
        spool: Files of running calls.
    """

    def __init__(
        self,
        *,
        images: ImageStore,
        sessions: Sessions,
        catalog: Catalog,
        files: ImageFiles,
        annotating: Annotating,
        names: ImageNames,
        uploads: Places,
        spool: Spool,
    ) -> None:
        self._images = images
        self._sessions = sessions
        self._catalog = catalog
        self._files = files
        self._annotating = annotating
        self._names = names
        self._uploads = uploads
        self._spool = spool

    async def info(self, call: Call) -> Response:
        """``GET /info/``."""
        samples = await self._samples(call)
        completed = sum(sample.annotated for sample in samples)
        return JSONResponse(
            describe(self._catalog.list(tenant=call.principal.tenant), total=len(samples), completed=completed)
        )

    async def summary(self, call: Call) -> Response:
        """``GET /datastore/``: images that the caller opened."""
        samples = await self._samples(call)
        output = call.request.query_params.get("output", "stats")
        if output == "train":
            return JSONResponse([])
        if output == "all":
            objects = {sample.digest: _describe_sample(sample) for sample in samples}
            return JSONResponse({"name": "sixpoint", "description": "", "objects": objects})
        completed = sum(sample.annotated for sample in samples)
        return JSONResponse({"total": len(samples), "completed": completed, "label_tags": {}})

    async def create_session(self, call: Call) -> Response:
        """``PUT /session/``: take an image, and give an id for its window in the viewer."""
        record = await self._upload(call, "files")
        handle = ImageHandle.new(record.digest)
        await self._announce(call, handle)
        return JSONResponse({"session_id": str(handle), "session_info": _session_info(handle, record)})

    async def get_session(self, call: Call) -> Response:
        """``GET /session/{id}``; for an image that is gone null, upon which viewers send it again by themselves."""
        handle = ImageHandle.parse(call.request.path_params["session_id"])
        try:
            record = await self._images.describe(handle.digest, principal=call.principal)
        except ImageNotFound as error:
            note_refusal(call.auditor, call.principal, call.route, error)
            return JSONResponse(None)
        if call.request.query_params.get("image", "").lower() == "true":
            return await self._download(call, record)
        return JSONResponse(_session_info(handle, record))

    async def remove_session(self, call: Call) -> Response:
        """``DELETE /session/{id}``: close the sessions of this window."""
        handle = ImageHandle.parse(call.request.path_params["session_id"])
        record = await self._images.describe(handle.digest, principal=call.principal)
        models = self._catalog.list(tenant=call.principal.tenant)
        await self._annotating.close(handle, models, principal=call.principal)
        return JSONResponse(_session_info(handle, record))

    async def put_image(self, call: Call) -> Response:
        """``PUT /datastore/``: take an image. Its id is its digest; it is also found by the name that came with it."""
        record = await self._upload(call, "file")
        if name := call.request.query_params.get("image"):
            self._names.remember(call.principal, name, record.digest)
        await self._announce(call, ImageHandle(record.digest))
        return JSONResponse({"image": record.digest})

    async def get_image(self, call: Call) -> Response:
        """``GET /datastore/image``: the image as NRRD."""
        handle = self._names.find(call.principal, call.request.query_params.get("image", ""))
        record = await self._images.describe(handle.digest, principal=call.principal)
        return await self._download(call, record)

    async def image_info(self, call: Call) -> Response:
        """``GET /datastore/image/info``."""
        handle = self._names.find(call.principal, call.request.query_params.get("image", ""))
        record = await self._images.describe(handle.digest, principal=call.principal)
        return JSONResponse({"ts": int(record.created), "name": _name(record.digest)})

    async def next_sample(self, call: Call) -> Response:
        """``POST /activelearning/{strategy}``: an image that the caller opened and did not annotate; {} for none."""
        await read_object(call)
        strategy = call.request.path_params["strategy"]
        if strategy not in STRATEGIES:
            raise NotFound(f"there is no strategy {quoted(strategy)}; there are: {', '.join(STRATEGIES)}")
        waiting = [sample for sample in await self._samples(call) if not sample.annotated]
        if not waiting:
            return JSONResponse({})
        first = min(waiting, key=lambda sample: sample.created)
        chosen = first if strategy == "first" else random.choice(waiting)
        return JSONResponse(
            {
                "id": chosen.digest,
                "name": _name(chosen.digest),
                "ts": int(chosen.created),
                "strategy": {strategy: {"ts": int(chosen.created)}},
            }
        )

    async def _samples(self, call: Call) -> list[_Sample]:
        page = await self._sessions.page(call.principal, size=_PAGE)
        samples: dict[str, _Sample] = {}
        for session in page.sessions:
            digest = session.row.image_digest
            known = samples.get(digest)
            created = min(session.row.created, known.created if known else session.row.created)
            samples[digest] = _Sample(digest, created, _is_annotated(session) or bool(known and known.annotated))
        return list(samples.values())

    async def _upload(self, call: Call, name: str) -> ImageRecord:
        call.limits.check(call.principal, Activity.UPLOAD)
        async with self._uploads.take():
            folder = await call.stack.enter_async_context(self._spool.folder())
            form = await read_form(call, folder, max_bytes=self._files.max_body_bytes)
            async with call.while_connected():
                return await self._store(call, _only_file(form, name), folder)

    async def _store(self, call: Call, file: FormFile, folder: SpoolFolder) -> ImageRecord:
        return await self._files.store(file, folder, principal=call.principal)

    async def _announce(self, call: Call, handle: ImageHandle) -> None:
        """Open a session of ours, so that the image is among those to annotate, and is not removed meanwhile."""
        model = next((each for each in self._catalog.list(tenant=call.principal.tenant) if _annotates(each)), None)
        if model is not None:
            await self._annotating.open(handle, model, principal=call.principal)

    async def _download(self, call: Call, record: ImageRecord) -> Response:
        image = await self._images.open(record.digest, tenant=call.principal.tenant)
        folder = await call.stack.enter_async_context(self._spool.folder())
        folder.reserve(record.byte_count)
        path = folder.path / "image"
        await asyncio.to_thread(image.volume.array.tofile, path)
        header = nrrd_header(record.geometry, VOXEL_TYPES[record.voxel_type], encoding="raw")
        disposition = {"content-disposition": f'attachment; filename="{_name(record.digest)}"'}
        return FileReply(path, media_type="application/octet-stream", before=header, headers=disposition)


def _annotates(model: Model) -> bool:
    return model_type(model.spec) != "segmentation"


def _is_annotated(session: Session) -> bool:
    return any(segment.head for segment in session.segments)


def _only_file(form: Form, name: str) -> FormFile:
    files = [file for each in form.files.values() for file in each]
    if len(files) != 1:
        raise UploadError(
            f"the form has {len(files)} files; expected one in its field {name}: a volume (.nii, .nii.gz, .nrrd, .mha)"
        )
    return files[0]


def _name(digest: str) -> str:
    """Name of an image's file: none that a person gave."""
    return f"{digest[:12]}.nrrd"


def _describe_sample(sample: _Sample) -> dict[str, object]:
    return {
        "image": {"ext": ".nrrd", "info": {"ts": int(sample.created), "name": _name(sample.digest)}},
        "labels": {},
    }


def _session_info(handle: ImageHandle, record: ImageRecord) -> dict[str, object]:
    """What MONAI Label tells about a session, without its paths on the server."""
    return {
        "name": str(handle),
        "path": "",
        "image": _name(record.digest),
        "meta": {},
        "create_ts": int(record.created),
        "last_access_ts": int(record.used),
        "expiry": 0,
    }
