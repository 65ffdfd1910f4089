"""``/datastore/label``: what people submit in a viewer becomes an annotation of a dataset."""

from __future__ import annotations

import asyncio

from fastapi import Response
from fastapi.responses import JSONResponse

from gateway.core.access import Activity
from gateway.core.datasets import Annotations, AnnotationSaver, Datasets
from gateway.core.images import ImageStore
from gateway.core.runtime import Admission
from gateway.http.calls import Call
from gateway.http.forms import parse_object, read_form
from gateway.http.image_files import ImageFiles
from gateway.http.monai_label.label_info import read_label_names
from gateway.http.requests.spool import Spool
from gateway.http.windows.label_files import FileFormat, label_map_bytes, write_label_map
from gateway.http.windows.label_masks import masks_of_labels
from gateway.http.windows.names import ImageNames
from gateway.http.windows.replies import FileReply
from sixpoint.errors import FailedPrecondition, InvalidArgument, NotFound

__all__ = ["Labels"]

_NO_DATASET = (
    "labels are not stored here: the gateway's setting SIXPOINT_VIEWER_DATASET names no dataset; save the segmentation "
    "in the viewer"
)


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
        """``GET /datastore/label``: the latest annotation of an image, as NRRD, with the dataset's numbers."""
        self._require_dataset()
        handle = self._names.find(call.principal, call.request.query_params.get("label", ""))
        record = await self._images.describe(handle.digest, principal=call.principal)
        page = await self._annotations.page(self._dataset, principal=call.principal, digest=handle.digest, size=1)
        if not page.entries:
            raise NotFound("nobody has saved a label of this image yet")
        row = await self._annotations.get(page.entries[0].id, principal=call.principal)
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
        disposition = {"content-disposition": f'attachment; filename="{handle.digest[:12]}.label.nrrd"'}
        return FileReply(path, media_type="application/octet-stream", headers=disposition)

    def _require_dataset(self) -> None:
        if not self._dataset:
            raise FailedPrecondition(_NO_DATASET)
