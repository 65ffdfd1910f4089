"""The calls of nnInteractive's remote protocol on images and objects."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial

import numpy as np
from fastapi import Response
from fastapi.responses import JSONResponse

from gateway.core.access import Activity
from gateway.core.runtime import Admission, Model
from gateway.core.runtime.fairness import Places
from gateway.http.calls import Call
from gateway.http.errors import HttpRefusal
from gateway.http.forms import read_object
from gateway.http.image_files import ImageFiles
from gateway.http.nninteractive.bodies import (
    drop_body,
    read_array,
    read_mask,
    read_meta,
    read_spacing,
    reserve_unpacking,
)
from gateway.http.nninteractive.changes import change_memory, changed_reply, unchanged_reply
from gateway.http.nninteractive.interactions import Interaction, StrokeDrawn, read_box, read_flag, read_point
from gateway.http.nninteractive.lease_calls import LeaseCalls
from gateway.http.nninteractive.leases import Lease
from gateway.http.nninteractive.masks import StrokeReader, make_seed
from gateway.http.nninteractive.prompting import Prompting
from gateway.http.nninteractive.window import MAX_QUEUE, MAX_QUEUE_BYTES, Window
from gateway.http.requests.spool import Spool
from sixpoint._typing import Index
from sixpoint.errors import FailedPrecondition, InvalidArgument, ResourceExhausted, VolumeError
from sixpoint.errors.shortening import quoted
from sixpoint.mask import PackedMask
from sixpoint.model_spec import ModelSpec

__all__ = ["NnInteractive"]

_BUFFER_TYPES = ("bool", *(f"{sign}int{bits}" for sign in ("u", "") for bits in (8, 16, 32, 64)))


class NnInteractive:
    """Carries out calls.

    Args:
        leases: Finds the leases of calls.
        prompting: Carries out interactions.
        files: Stores images.
        uploads: Places of uploads.
        spool: Files of running calls.
        memory: Memory of prompts.
    """

    def __init__(
        self,
        *,
        leases: LeaseCalls,
        prompting: Prompting,
        files: ImageFiles,
        uploads: Places,
        spool: Spool,
        memory: Admission,
    ) -> None:
        self._leases = leases
        self._prompting = prompting
        self._files = files
        self._uploads = uploads
        self._spool = spool
        self._memory = memory

    async def set_image(self, call: Call) -> Response:
        """``POST /set_image``: take an image; what was done on the one before is over."""
        try:
            lease = self._leases.of(call)
        except HttpRefusal:
            await drop_body(call, max_bytes=self._files.max_body_bytes)
            raise
        call.limits.check(call.principal, Activity.UPLOAD)
        spacing = _spacing(read_meta(call), self._leases.model(call))
        with self._leases.use(lease):
            async with self._uploads.take():
                folder = await call.stack.enter_async_context(self._spool.folder())
                path = await read_array(call, folder, max_bytes=self._files.max_body_bytes)
                reserve_unpacking(path, folder)
                async with call.while_connected(), lease.lock:
                    record = await self._files.store_decoded(
                        "gateway.http.decoding.arrays",
                        ["image", str(path), json.dumps(spacing)],
                        folder,
                        principal=call.principal,
                    )
                    await self._prompting.open_image(lease, record, principal=call.principal)
        return JSONResponse({"original_image_shape": [1, *record.geometry.shape]})

    async def set_target_buffer(self, call: Call) -> Response:
        """``POST /set_target_buffer``: the client has an empty mask of the image's shape."""
        body = await read_object(call)
        async with self._window(call) as (_, window):
            dtype = body.get("dtype")
            if dtype not in _BUFFER_TYPES:
                raise InvalidArgument(f"dtype is {quoted(str(dtype))}; expected one of {', '.join(_BUFFER_TYPES)}")
            if body.get("shape") != list(window.shape):
                raise InvalidArgument(f"shape is not that of the image; expected {list(window.shape)}")
            window.buffer, window.client_empty = np.dtype(str(dtype)), True
        return JSONResponse({})

    async def set_do_autozoom(self, call: Call) -> Response:
        """``POST /set_do_autozoom``: our models always see the whole object."""
        read_flag(await read_object(call), "do_autozoom")
        async with self._working(call):
            return JSONResponse({})

    async def reset_interactions(self, call: Call) -> Response:
        """``POST /reset_interactions``: go on with the next object. Viewers call it before they send an image, too."""
        await read_object(call)
        async with self._working(call) as lease:
            window = await self._prompting.find_window(lease, principal=call.principal)
            if window is not None:
                if window.steps:
                    await self._prompting.reset(window, principal=call.principal)
                window.client_empty, window.queue = True, []
        return JSONResponse({})

    async def undo(self, call: Call) -> Response:
        """``POST /undo``: take back the last interaction."""
        await read_object(call)
        async with self._window(call) as (_, window):
            if window.queue:
                window.queue.pop()
                return unchanged_reply(ran=True)
            before = await self._prompting.client_mask(window, principal=call.principal)
            mask = await self._prompting.undo(window, principal=call.principal)
            return unchanged_reply(ran=False) if mask is None else await self._reply(window, before, mask)

    async def predict(self, call: Call) -> Response:
        """``POST /predict``: carry out what waits."""
        read_flag(await read_object(call), "force_full_refine", default=False)
        async with self._window(call) as (lease, window):
            return await self._run(call, lease, window)

    async def add_point(self, call: Call) -> Response:
        """``POST /add_point_interaction``."""
        return await self._add(call, read_point)

    async def add_box(self, call: Call) -> Response:
        """``POST /add_bbox_interaction``."""
        return await self._add(call, read_box)

    async def add_scribble(self, call: Call) -> Response:
        """``POST /add_scribble_interaction``."""
        return await self._add_stroke(call, lasso=False)

    async def add_lasso(self, call: Call) -> Response:
        """``POST /add_lasso_interaction``."""
        return await self._add_stroke(call, lasso=True)

    async def add_mask(self, call: Call) -> Response:
        """``POST /add_initial_seg_interaction``: begin with a mask that the client has."""
        meta = read_meta(call)
        run = read_flag(meta, "run_prediction", default=False)
        folder = await call.stack.enter_async_context(self._spool.folder())
        path = await read_array(call, folder, max_bytes=self._files.max_body_bytes)
        async with self._window(call) as (lease, window):
            make = partial(make_seed, geometry=window.geometry)
            window.queue = [await read_mask(path, folder, make, shape=window.shape, memory=self._memory)]
            # The client has this mask, without an answer.
            answer = await self._run(call, lease, window)
            return answer if run else unchanged_reply(ran=False)

    async def _add_stroke(self, call: Call, *, lasso: bool) -> Response:
        self._leases.of(call)
        meta = read_meta(call)
        run = read_flag(meta, "run_prediction", default=True)
        folder = await call.stack.enter_async_context(self._spool.folder())
        path = await read_array(call, folder, max_bytes=self._files.max_body_bytes)
        async with self._window(call) as (lease, window):
            reader = StrokeReader(meta, lasso=lasso, image_shape=window.shape)
            stroke = await read_mask(path, folder, reader.make, shape=reader.shape, memory=self._memory)
            if stroke.voxels is None:
                return unchanged_reply(ran=run)
            return await self._queue(call, lease, window, stroke, run=run)

    async def _add(self, call: Call, read: Callable[..., Interaction]) -> Response:
        body = await read_object(call)
        run = read_flag(body, "run_prediction", default=True)
        async with self._window(call) as (lease, window):
            return await self._queue(call, lease, window, _read(read, body, shape=window.shape), run=run)

    async def _queue(
        self, call: Call, lease: Lease, window: Window, interaction: Interaction, *, run: bool
    ) -> Response:
        strokes = [each.voxels for each in (*window.queue, interaction) if isinstance(each, StrokeDrawn)]
        nbytes = sum(len(voxels.data) for voxels in strokes if voxels is not None)
        if not run and (len(window.queue) >= MAX_QUEUE or nbytes > MAX_QUEUE_BYTES):
            raise ResourceExhausted(
                f"{len(window.queue)} interactions wait for a prediction; ask for it first (/predict)"
            )
        window.queue.append(interaction)
        return await self._run(call, lease, window) if run else unchanged_reply(ran=False)

    async def _run(self, call: Call, lease: Lease, window: Window) -> Response:
        """Carry out what waits, in order. What fails is forgotten, and changes nothing."""
        if window.buffer is None:
            window.queue = []
            raise FailedPrecondition("there is no target buffer yet: announce it first (/set_target_buffer)")
        queue, window.queue = window.queue, []
        if not queue:
            return unchanged_reply(ran=False)
        before = await self._prompting.client_mask(window, principal=call.principal)
        async with self._prompting.taken_back_on_failure(window, principal=call.principal):
            for interaction in queue:
                mask = await self._prompting.carry_out(
                    lease, window, interaction, principal=call.principal, deadline=call.deadline
                )
            return await self._reply(window, before, mask)

    async def _reply(self, window: Window, before: PackedMask | None, mask: PackedMask) -> Response:
        """Answer with what changes in the client's mask."""
        dtype = window.buffer or np.dtype(np.uint8)
        async with self._memory.slot(), self._memory.memory(change_memory(before, mask, dtype)):
            answer = await asyncio.to_thread(changed_reply, before, mask, dtype)
        self._prompting.note_client_mask(window, mask)
        return answer

    @contextlib.asynccontextmanager
    async def _working(self, call: Call) -> AsyncIterator[Lease]:
        """Let one call of a lease work at a time; the call's body must have been read."""
        lease = self._leases.of(call)
        with self._leases.use(lease):
            async with call.while_connected(), lease.lock:
                yield lease

    @contextlib.asynccontextmanager
    async def _window(self, call: Call) -> AsyncIterator[tuple[Lease, Window]]:
        async with self._working(call) as lease:
            yield lease, await self._prompting.window(lease, principal=call.principal)


def _read(read: Callable[..., Interaction], body: Mapping[str, object], *, shape: Index) -> Interaction:
    return read(body, shape=shape)


def _spacing(meta: dict[str, object], model: Model) -> tuple[float, float, float]:
    spacing = read_spacing(meta)
    if spacing is None:
        if _needs_spacing(model.spec):
            raise VolumeError(
                f"image_properties.spacing is missing, and model {model.name!r} needs the size of voxels; expected mm "
                "along each axis"
            )
        return 1.0, 1.0, 1.0
    return spacing


def _needs_spacing(spec: ModelSpec) -> bool:
    """Whether a model's answer depends on the size of voxels."""
    return spec.roi.margin_mm > 0
