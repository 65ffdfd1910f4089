"""``/datastore/label``: what people submit in a viewer becomes an annotation of a dataset."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from fastapi import Response
from fastapi.responses import JSONResponse

from gateway.core.access import Activity
from gateway.core.datasets import AnnotationRow, Annotations, AnnotationSaver, Datasets
from gateway.core.images import ImageStore
from gateway.core.runtime import Admission
from gateway.http.calls import Call, Handler
from gateway.http.forms import parse_object, read_form
from gateway.http.image_files import ImageFiles
from gateway.http.monai_label.fields import read_fields
from gateway.http.monai_label.label_info import (
    FINAL,
    ORIGINAL,
    check_new_tag,
    check_tag,
    choose_label,
    describe_label,
    label_file_name,
    read_label_names,
    read_review,
    version_tag,
)
from gateway.http.monai_label.tasks import NO_DATASET
from gateway.http.requests.spool import Spool
from gateway.http.windows.handles import ImageHandle
from gateway.http.windows.label_files import FileFormat, label_map_bytes, write_label_map
from gateway.http.windows.label_masks import masks_of_labels
from gateway.http.windows.names import ImageNames
from gateway.http.windows.replies import FileReply
from sixpoint.errors import FailedPrecondition, InvalidArgument, NotFound

__all__ = ["Labels"]

_NO_LABEL = "nobody has saved a label of this image yet"
_NO_VERSION = "the label of this image has no such version; GET /datastore/?output=all lists those that it has"
_NO_DRAFT = "no model has made a draft of this image; start a batch (POST /batch/infer/{model})"
_PAGE = 1000


class Labels:
    """Takes and gives labels.

    Args:
        images: All images.
        datasets: All datasets.
        annotations: All annotations.
        saver: Saves annotations.
        files: Reads files.
        names: Names that clients gave to images.
        spool: Files of running calls.
        memory: Memory of label maps.
        dataset: Name of the dataset; empty for none.
    """

    def __init__(
        self,
        *,
        images: ImageStore,
        datasets: Datasets,
        annotations: Annotations,
        saver: AnnotationSaver,
        files: ImageFiles,
        names: ImageNames,
        spool: Spool,
        memory: Admission,
        dataset: str,
    ) -> None:
        self._images = images
        self._datasets = datasets
        self._annotations = annotations
        self._saver = saver
        self._files = files
        self._names = names
        self._spool = spool
        self._memory = memory
        self._dataset = dataset

    async def put(self, call: Call) -> Response:
        """``PUT /datastore/label``: save a label map; its numbers are those of ``label_info``, or of the dataset."""
        self._require_dataset()
        call.limits.check(call.principal, Activity.UPLOAD)
        folder = await call.stack.enter_async_context(self._spool.folder())
        form = await read_form(call, folder, max_bytes=self._files.max_body_bytes)
        params = parse_object(form.fields.get("params", ""), what="the field params")
        file = form.file("label")
        if file is None:
            raise InvalidArgument("the form has no file in its field label; expected a label map, such as .nrrd")
        async with call.while_connected():
            handle = self._names.find(call.principal, call.request.query_params.get("image", ""))
            record = await self._images.describe(handle.digest, principal=call.principal)
            await self._check_tag(call, handle)
            dataset = await self._datasets.get(self._dataset, principal=call.principal)
            own = {label.number: label.name for label in dataset.row.labels}
            label_names = read_label_names(params) or own
            header, path = await self._files.read_on_grid(file, folder, record.geometry)
            self._memory.check(3 * header.byte_count, what="the label map")
            async with self._memory.slot(), self._memory.memory(3 * header.byte_count):
                masks = await asyncio.to_thread(masks_of_labels, header, path, record.geometry, label_names)
            saved = await self._saver.add(self._dataset, handle.digest, masks, principal=call.principal)
        return JSONResponse({"image": handle.digest, "label": handle.digest, "version": saved.version})

    async def get(self, call: Call) -> Response:
        """``GET /datastore/label``: an annotation of an image, as NRRD, with the dataset's numbers."""
        handle, row = await self._find(call, "label")
        record = await self._images.describe(handle.digest, principal=call.principal)
        row = await self._annotations.get(row.id, principal=call.principal)
        masks = await self._annotations.masks(row.id, principal=call.principal)
        parts = [(mask.number, mask.mask) for mask in masks]
        folder = await call.stack.enter_async_context(self._spool.folder())
        path = folder.path / "label"
        async with self._memory.slot():
            nbytes = label_map_bytes(record.geometry, parts)
            self._memory.check(nbytes, what="the label map")
            folder.reserve(nbytes)
            async with self._memory.memory(nbytes):
                await asyncio.to_thread(write_label_map, path, record.geometry, parts, FileFormat(".nrrd"))
        disposition = {"content-disposition": f'attachment; filename="{label_file_name(handle.digest)}"'}
        return FileReply(path, media_type="application/octet-stream", headers=disposition)

    async def check(self, call: Call) -> Response:
        """``HEAD /datastore/label``: whether an image has a label."""
        await self._find(call, "image")
        return JSONResponse({})

    async def info(self, call: Call) -> Response:
        """``GET /datastore/label/info``: what belongs to a label."""
        _, row = await self._find(call, "label")
        return JSONResponse(describe_label(row))

    def update_info(self, field: str) -> Handler:
        """``PUT /datastore/label/info`` and ``/datastore/updatelabelinfo``: 3D Slicer's reviewers approve or flag.

        Args:
            field: Name of the field that says it.
        """

        async def update(call: Call) -> Response:
            fields = await read_fields(call, self._spool)
            state, reason = read_review(parse_object(fields.get(field, ""), what=f"the field {field}"))
            _, row = await self._find(call, "label")
            await self._annotations.review(row.id, state, reason=reason, principal=call.principal)
            return JSONResponse(None)

        return update

    async def described(self, call: Call) -> dict[str, dict[str, object]]:
        """What belongs to the labels of all images, by digest and tag; nothing without a dataset."""
        by_image: dict[str, list[AnnotationRow]] = {}
        for row in await self._rows(call) if self._dataset else ():
            by_image.setdefault(row.image_digest, []).append(row)
        return {digest: _describe_tags(rows) for digest, rows in by_image.items()}

    async def _rows(self, call: Call, digest: str = "") -> list[AnnotationRow]:
        """All annotations of the dataset, or of one image, the latest first."""
        rows: list[AnnotationRow] = []
        token = ""
        while True:
            page = await self._annotations.page(
                self._dataset, principal=call.principal, digest=digest, size=_PAGE, token=token
            )
            rows += page.entries
            token = page.next_token
            if not token:
                return rows

    async def _check_tag(self, call: Call, handle: ImageHandle) -> None:
        """Refuse a new label with a tag that it cannot have."""
        page = await self._annotations.page(self._dataset, principal=call.principal, digest=handle.digest, size=1)
        latest = page.entries[0].version if page.entries else 0
        check_new_tag(call.request.query_params.get("tag", ""), latest)

    async def _find(self, call: Call, parameter: str) -> tuple[ImageHandle, AnnotationRow]:
        """The annotation of an image that stands for a tag; without one, the final label, or else a model's."""
        self._require_dataset()
        query = call.request.query_params
        handle, tag = self._names.find(call.principal, query.get(parameter, "")), query.get("tag", "")
        check_tag(tag)
        await self._images.describe(handle.digest, principal=call.principal)
        row = choose_label(await self._rows(call, handle.digest), tag)
        if row is None:
            raise NotFound(_NO_DRAFT if tag == ORIGINAL else _NO_VERSION if tag not in ("", FINAL) else _NO_LABEL)
        return handle, row

    def _require_dataset(self) -> None:
        if not self._dataset:
            raise FailedPrecondition(NO_DATASET)


def _describe_tags(rows: Sequence[AnnotationRow]) -> dict[str, object]:
    """What belongs to the labels of an image by tag; reviewers number a new version after the last that is listed."""
    chosen = {tag: choose_label(rows, tag) for tag in (FINAL, ORIGINAL)}
    tags = {tag: row for tag, row in chosen.items() if row is not None}
    tags |= {version_tag(row.version): row for row in reversed(rows)}
    return {tag: {"ext": ".nrrd", "info": describe_label(row)} for tag, row in tags.items()}
