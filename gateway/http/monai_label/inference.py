"""``POST /infer/{model}``: outline an object from a client's points, or segment a whole image."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from fastapi import Response

from gateway.core.access import Activity
from gateway.core.images import ImageStore
from gateway.core.runtime import Admission, Catalog, Model
from gateway.http.calls import Call
from gateway.http.dicomweb import SeriesImages
from gateway.http.forms import Form, parse_object, read_form
from gateway.http.image_files import ImageFiles
from gateway.http.monai_label.dicom_segmentations import DICOM_OUTPUT, NOT_A_SERIES, DicomSegmentations
from gateway.http.monai_label.info import model_type
from gateway.http.monai_label.label_info import read_label_names
from gateway.http.monai_label.points import read_box, read_points
from gateway.http.monai_label.scribbles import SCRIBBLES_SUFFIX, plan_scribbles, selected_label, takes_scribbles
from gateway.http.requests.spool import Spool, SpoolFolder
from gateway.http.windows.handles import ImageHandle
from gateway.http.windows.label_files import SUFFIXES, FileFormat, check_result_dtype, check_result_suffix
from gateway.http.windows.label_masks import masks_of_labels
from gateway.http.windows.names import ImageNames
from gateway.http.windows.points import EXTREME_COUNT, plan_prompts
from gateway.http.windows.replies import check_output, result_reply
from gateway.http.windows.results import Result, Results
from sixpoint.errors import InvalidArgument, ModelNotFound, TaskNotSupported, UploadError
from sixpoint.mask import Timings

__all__ = ["Inference"]


class Inference:
    """Carries out inferences.

    Args:
        catalog: Models that can be used now.
        images: All images.
        files: Stores images that come as files.
        results: Asks models.
        names: Names that clients gave to images.
        spool: Files of running calls.
        memory: Memory of label maps.
        series: Finds series of the DICOMweb server; None without one.
    """

    def __init__(
        self,
        *,
        catalog: Catalog,
        images: ImageStore,
        files: ImageFiles,
        results: Results,
        names: ImageNames,
        spool: Spool,
        memory: Admission,
        series: SeriesImages | None = None,
    ) -> None:
        self._catalog = catalog
        self._images = images
        self._files = files
        self._results = results
        self._names = names
        self._series = series
        self._segmentations = DicomSegmentations(files, series)
        self._spool = spool
        self._memory = memory

    async def infer(self, call: Call) -> Response:
        """Answer a call."""
        model = self._model(call)
        output = check_output(call.request.query_params.get("output", ""), more=[DICOM_OUTPUT])
        if output == DICOM_OUTPUT:
            self._segmentations.check(call)
        folder = await call.stack.enter_async_context(self._spool.folder())
        return await self._infer(call, model, output, folder)

    async def _infer(self, call: Call, model: Model, output: str, folder: SpoolFolder) -> Response:
        started = time.perf_counter()
        form = await read_form(call, folder, max_bytes=self._files.max_body_bytes)
        params = parse_object(form.fields.get("params", ""), what="the field params")
        suffix = _suffix(params, form)
        async with call.while_connected():
            if output == DICOM_OUTPUT and form.file("file") is not None:
                raise InvalidArgument(NOT_A_SERIES)
            handle = await self._image(call, form, folder)
            record = await self._images.describe(handle.digest, principal=call.principal)
            if "label" in form.files:
                result = await self._scribble(call, model, handle, form, params, folder)
            else:
                result = await self._run(call, model, handle, params)
            if output == DICOM_OUTPUT:
                return await self._segmentations.reply(call, model, result, record, params, folder)
            compress = params.get("result_compress", True) is not False
            numbers = max(result.names.values(), default=0)
            dtype = check_result_dtype(params.get("result_dtype"), labels=numbers)
            path = await self._results.write(result, record.geometry, folder, FileFormat(suffix, compress, dtype))
        answer = {
            "label_names": result.names,
            "latencies": _latencies(result.timings, time.perf_counter() - started),
            **({"message": result.notes} if result.notes else {}),
        }
        return result_reply(answer, path, suffix=suffix, output=output)

    async def _image(self, call: Call, form: Form, folder: SpoolFolder) -> ImageHandle:
        """Find the image: that of a session, else one that comes with the call, else one that is stored."""
        query = call.request.query_params
        if query.get("session_id"):
            return ImageHandle.parse(query["session_id"])
        file = form.file("file")
        if file is not None:
            call.limits.check(call.principal, Activity.UPLOAD)
            record = await self._files.store(file, folder, principal=call.principal)
            return ImageHandle(record.digest)
        if not query.get("image"):
            raise UploadError("the call names no image: give session_id, image, or a file")
        if self._series and self._series.names_series(query["image"]):
            digest = await self._series.find(call, query["image"], folder)
            # So that labels are saved, and images given, by the same name.
            self._names.remember(call.principal, query["image"], digest)
            return ImageHandle(digest)
        return self._names.find(call.principal, query["image"])

    def _model(self, call: Call) -> Model:
        """The model that a call names: with the suffix for scribbles, unless a model itself is called that."""
        name, tenant = call.request.path_params["model"], call.principal.tenant
        try:
            return self._catalog.get(name, tenant=tenant)
        except ModelNotFound:
            if not name.endswith(SCRIBBLES_SUFFIX):
                raise
            return self._catalog.get(name.removesuffix(SCRIBBLES_SUFFIX), tenant=tenant)

    async def _scribble(
        self,
        call: Call,
        model: Model,
        handle: ImageHandle,
        form: Form,
        params: Mapping[str, object],
        folder: SpoolFolder,
    ) -> Result:
        """Correct an object by scribbles, which come in a label map with the object as the viewer shows it."""
        if not takes_scribbles(model.spec):
            raise TaskNotSupported(f"model {model.name!r} takes no scribbles; choose one that corrects by clicks")
        label, names = selected_label(params), read_label_names(params)
        file = form.file("label")
        assert file is not None
        geometry = (await self._images.describe(handle.digest, principal=call.principal)).geometry
        header, path = await self._files.read_on_grid(file, folder, geometry)
        self._memory.check(3 * header.byte_count, what="the label map")
        async with self._memory.slot(), self._memory.memory(3 * header.byte_count):
            masks = dict(await asyncio.to_thread(masks_of_labels, header, path, geometry, names))
            prompts = await asyncio.to_thread(
                plan_scribbles, masks, label, box=read_box(params), geometry=geometry, spec=model.spec
            )
        return await self._results.annotate(call, model, handle, label, prompts, opening=len(prompts))

    async def _run(self, call: Call, model: Model, handle: ImageHandle, params: Mapping[str, object]) -> Result:
        if model_type(model.spec) == "segmentation":
            return await self._results.segment(call, model, handle)
        points = read_points(params, spec=model.spec)
        prompts = plan_prompts(points, spec=model.spec, model=model.name)
        if not prompts:
            # Viewers ask after each point: an error would open a box five times.
            note = f"{len(points.foreground)} of {EXTREME_COUNT} extreme points are set; the mask comes with the last"
            return Result([], {points.label: 1}, Timings(), note)
        return await self._results.annotate(call, model, handle, points.label, prompts)


def _suffix(params: Mapping[str, object], form: Form) -> str:
    """The kind of file to answer with: what the client asks for, else what it sent."""
    if "result_extension" in params:
        return check_result_suffix(params["result_extension"])
    file = form.file("file")
    return file.suffix if file is not None and file.suffix in SUFFIXES else ".nii.gz" if file else ".nrrd"


def _latencies(timings: Timings, total: float) -> dict[str, float]:
    seconds = {
        "pre": timings.queue + timings.preprocess,
        "infer": timings.inference,
        "post": timings.postprocess,
        "write": timings.encode,
    }
    return {name: round(value.total_seconds(), 4) for name, value in seconds.items()} | {"total": round(total, 4)}
