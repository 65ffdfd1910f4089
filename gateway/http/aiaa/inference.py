"""``/v1/segmentation``, ``/v1/dextr3d``, ``/v1/deepgrow`` and ``/v1/inference``: ask a model for a mask."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fastapi import Response

from gateway.core.access import Activity
from gateway.core.images import ImageStore
from gateway.core.runtime import Catalog, Model
from gateway.http.aiaa.models import OfferedModel, find_model, model_type
from gateway.http.aiaa.points import inside_cut, one_slice, plan_boundary, plan_clicks, read_boundary, read_clicks
from gateway.http.calls import Call, Handler
from gateway.http.errors import HttpRefusal
from gateway.http.forms import Form, FormFile, parse_object, read_form
from gateway.http.image_files import ImageFiles
from gateway.http.requests.spool import Spool, SpoolFolder
from gateway.http.windows import Windows
from gateway.http.windows.handles import ImageHandle
from gateway.http.windows.label_files import FileFormat, check_result_dtype, check_result_suffix
from gateway.http.windows.points import ClientPoints
from gateway.http.windows.replies import check_output, result_reply
from gateway.http.windows.results import Result
from sixpoint.errors import (
    ImageNotFound,
    InvalidArgument,
    SessionExpired,
    SessionNotFound,
    TaskNotSupported,
    UploadError,
)
from sixpoint.geometry import Geometry
from sixpoint.prompts import Point

__all__ = ["Inference", "image_of_form"]

_SESSION_EXPIRED = 440
_IMAGE_FIELD = re.compile(r"datapoint|image[0-9]*|file")
_CALLS = {"segmentation": "segmentation", "annotation": "dextr3d", "deepgrow": "deepgrow"}


@dataclass(frozen=True)
class _Target:
    """The image of a call.

    Attributes:
        handle: The client's session, or a window for this call.
        lasting: Whether the session of ours goes on after this call.
        sent_along: Whether the image came with the call.
    """

    handle: ImageHandle
    lasting: bool
    sent_along: bool


class Inference:
    """Carries out inferences.

    Args:
        catalog: Models that can be used now.
        images: All images.
        files: Stores images that come as files.
        windows: Sessions of clients.
        spool: Files of running calls.
    """

    def __init__(
        self, *, catalog: Catalog, images: ImageStore, files: ImageFiles, windows: Windows, spool: Spool
    ) -> None:
        self._catalog = catalog
        self._images = images
        self._files = files
        self._windows = windows
        self._spool = spool

    def of_kind(self, kind: str) -> Handler:
        """Return the handler of a call.

        Args:
            kind: ``segmentation``, ``dextr3d`` or ``deepgrow``; ``inference`` for that which the model takes.
        """

        async def answer(call: Call) -> Response:
            name = call.request.query_params.get("model", "")
            if not name:
                raise InvalidArgument("the address names no model; add ?model=NAME, with a name from /v1/models")
            offered = find_model(name, self._catalog, tenant=call.principal.tenant)
            model = offered.model
            output = check_output(call.request.query_params.get("output", ""))
            folder = await call.stack.enter_async_context(self._spool.folder())
            form = await read_form(call, folder, max_bytes=self._files.max_body_bytes)
            params = parse_object(form.fields.get("params", ""), what="the field params")
            file_format = FileFormat(
                check_result_suffix(params.get("result_extension") or ".nii.gz"),
                compress=params.get("result_compress", True) is not False,
                dtype=check_result_dtype(params.get("result_dtype"), labels=len(model.spec.labels)),
            )
            chosen = _CALLS[offered.kind] if kind == "inference" else kind
            async with call.while_connected():
                return await self._answer(call, offered, chosen, form, params, folder, file_format, output)

        return answer

    async def _answer(
        self,
        call: Call,
        offered: OfferedModel,
        kind: str,
        form: Form,
        params: Mapping[str, object],
        folder: SpoolFolder,
        file_format: FileFormat,
        output: str,
    ) -> Response:
        model, results = offered.model, self._windows.results
        points = _read_points(model, kind, params)
        number = one_slice(points) if offered.by_slice and isinstance(points, ClientPoints) else None
        target = await self._image(call, form, folder, lasting=isinstance(points, ClientPoints))
        try:
            geometry = (await self._images.describe(target.handle.digest, principal=call.principal)).geometry
            answer_params: dict[str, object] = {}
            if points is None:
                result = await results.segment(call, model, target.handle)
                answer_params = _where(_whole(await results.extreme_points(result, geometry)))
            else:
                if not isinstance(points, ClientPoints):
                    answer_params = {"points": _whole(points)}
                result = await self._annotate(call, model, target, points, geometry)
                if number is not None:
                    result = await results.on_slice(result, number, geometry)
            path = await results.write(result, geometry, folder, file_format)
        except ImageNotFound as error:
            if not target.sent_along:
                raise HttpRefusal(_SESSION_EXPIRED, error) from None
            raise
        finally:
            if not target.lasting:
                await self._windows.annotating.close(target.handle, [model], principal=call.principal)
        return result_reply(
            {**answer_params, "label_names": result.names}, path, suffix=file_format.suffix, output=output
        )

    async def _annotate(
        self, call: Call, model: Model, target: _Target, points: ClientPoints | Sequence[Point], geometry: Geometry
    ) -> Result:
        label, results = model.spec.labels[0], self._windows.results
        if isinstance(points, ClientPoints):
            clicks = plan_clicks(points, spec=model.spec, model=model.name)
            return await results.click(call, model, target.handle, label, clicks, geometry=geometry)
        if target.sent_along:
            points = inside_cut(points, geometry.size)
        prompts = plan_boundary(points, spec=model.spec, model=model.name)
        return await results.annotate(call, model, target.handle, label, prompts)

    async def _image(self, call: Call, form: Form, folder: SpoolFolder, *, lasting: bool) -> _Target:
        """Find the image: that of a session, else the one that comes with the call."""
        text = call.request.query_params.get("session_id", "")
        if text:
            try:
                handle = ImageHandle.parse(text)
                await self._windows.lifetimes.require(handle, principal=call.principal)
                await self._images.describe(handle.digest, principal=call.principal)
            except (SessionExpired, SessionNotFound, ImageNotFound) as error:
                raise HttpRefusal(_SESSION_EXPIRED, error) from None
            # Points on a boundary are answered without what came before; calls with others may meet.
            return _Target(handle if lasting else ImageHandle.new(handle.digest), lasting, sent_along=False)
        file = image_of_form(form)
        call.limits.check(call.principal, Activity.UPLOAD)
        record = await self._files.store(file, folder, principal=call.principal)
        # Clients that correct send the image again with each click; those that cut it out send another one each time.
        handle = ImageHandle(record.digest) if lasting else ImageHandle.new(record.digest)
        return _Target(handle, lasting, sent_along=True)


def image_of_form(form: Form) -> FormFile:
    """Return the image of a form, whatever of the usual names its field has.

    Raises:
        UploadError: There is none, or several.
    """
    files = [file for name, each in form.files.items() if _IMAGE_FIELD.fullmatch(name) for file in each]
    if len(files) != 1:
        raise UploadError(
            f"the call has {len(files)} images; expected a session_id in the address, or one volume (.nii, .nii.gz, "
            ".nrrd, .mha) in the field image or datapoint"
        )
    return files[0]


def _read_points(model: Model, kind: str, params: Mapping[str, object]) -> ClientPoints | Sequence[Point] | None:
    """The points of a call: clicks, points on the boundary, or none for a segmentation."""
    if (kind == "segmentation") != (model_type(model.spec) == "segmentation"):
        raise _other_call(model)
    if kind == "segmentation":
        return None
    # Through /v1/inference a model for points on the boundary takes clicks, too.
    if kind == "dextr3d" and not (params.get("foreground") and not params.get("points")):
        return read_boundary(params)
    return read_clicks(params, spec=model.spec)


def _other_call(model: Model) -> TaskNotSupported:
    kind = model_type(model.spec)
    return TaskNotSupported(f"model {model.name!r} is of type {kind}; call /v1/{_CALLS[kind]} for it")


def _where(points: list[list[int]]) -> dict[str, object]:
    """Where a segmentation found something: its extreme points, and the first and last voxel of the box round it."""
    if not points:
        return {"points": points}
    return {"points": points, "bbox": [[choose(axis) for axis in zip(*points, strict=True)] for choose in (min, max)]}


def _whole(points: Sequence[Point]) -> list[list[int]]:
    return [[int(each) for each in point] for point in points]
