"""The calls of nnInteractive's remote protocol."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping

import numpy as np
from fastapi import Response
from fastapi.responses import JSONResponse

from gateway.core.access import Activity
from gateway.core.runtime import Admission, Catalog, Model
from gateway.core.runtime.fairness import Places
from gateway.core.sessions import check_model
from gateway.http.calls import Call
from gateway.http.errors import HttpRefusal
from gateway.http.forms import read_object
from gateway.http.image_files import ImageFiles
from gateway.http.nninteractive.bodies import (
    drop_body,
    read_array,
    read_meta,
    read_seed,
    read_spacing,
)
from gateway.http.nninteractive.capabilities import describe
from gateway.http.nninteractive.changes import change_memory, changed_reply, unchanged_reply
from gateway.http.nninteractive.interactions import Interaction, read_box, read_flag, read_point
from gateway.http.nninteractive.leases import Lease, Leases
from gateway.http.nninteractive.prompting import Prompting
from gateway.http.nninteractive.window import MAX_QUEUE, Window
from gateway.http.requests.spool import Spool
from sixpoint._typing import Index
from sixpoint.errors import FailedPrecondition, InvalidArgument, PromptNotSupported, ResourceExhausted, VolumeError
from sixpoint.errors.shortening import quoted
from sixpoint.mask import PackedMask
from sixpoint.model_spec import ModelSpec

__all__ = ["NnInteractive"]

_BUFFER_TYPES = ("bool", *(f"{sign}int{bits}" for sign in ("u", "") for bits in (8, 16, 32, 64)))
_LEASE = "x-lease-token"


class NnInteractive:
    """Carries out calls.

    Args:
        leases: Leases of clients.
        prompting: Carries out interactions.
        catalog: Models that can be used now.
        files: Stores images.
        uploads: Places of uploads.
        spool: Files of running calls.
        memory: Memory of prompts.
    """

    def __init__(
        self,
        *,
        leases: Leases,
        prompting: Prompting,
        catalog: Catalog,
        files: ImageFiles,
        uploads: Places,
        spool: Spool,
        memory: Admission,
    ) -> None:
        self._leases = leases
        self._prompting = prompting
        self._catalog = catalog
        self._files = files
        self._uploads = uploads
        self._spool = spool
        self._memory = memory

    async def health(self, call: Call) -> Response:
        """``GET /healthz``."""
        del call
        return JSONResponse({"ok": True})

    async def claim(self, call: Call) -> Response:
        """``POST /claim``: give away a lease."""
        model = self._model(call)
        lease = self._leases.claim(call.principal, model=model.name)
        clocks = self._leases.clocks
        return JSONResponse(
            {
                "lease_token": lease.token,
                "idle_timeout_seconds": clocks.idle,
                "liveness_timeout_seconds": clocks.liveness,
                "max_sessions": self._leases.limit,
            }
        )

    async def capabilities(self, call: Call) -> Response:
        """``GET /capabilities``."""
        return JSONResponse(describe(self._model(call).spec))

    async def release(self, call: Call) -> Response:
        """``POST /release``: end a lease, and close its session. Clients do not look at the answer."""
        with contextlib.suppress(HttpRefusal):
            lease = self._lease(call)
            async with lease.lock:
                self._leases.end(lease)
                await self._prompting.close(lease, principal=call.principal)
        return JSONResponse({"released": True})

    async def heartbeat(self, call: Call) -> Response:
        """``POST /heartbeat``: the client is there, though nobody may work with it."""
        await read_object(call)
        lease = self._lease(call)
        self._leases.touch(lease, work=False)
        return JSONResponse({"remaining_seconds": self._leases.remaining(lease)})

    async def lease_status(self, call: Call) -> Response:
        """``GET /lease_status``."""
        remaining = self._leases.remaining(self._lease(call))
        return JSONResponse({"remaining_seconds": remaining, "idle_timeout_seconds": self._leases.clocks.idle})

    async def set_image(self, call: Call) -> Response:
        """``POST /set_image``: take an image; what was done on the one before is over."""
        try:
            lease = self._lease(call)
        except HttpRefusal:
            await drop_body(call, max_bytes=self._files.max_body_bytes)
            raise
        call.limits.check(call.principal, Activity.UPLOAD)
        spacing = _spacing(read_meta(call), self._model(call))
        with self._leases.use(lease):
            async with self._uploads.take():
                folder = await call.stack.enter_async_context(self._spool.folder())
                path = await read_array(call, folder, max_bytes=self._files.max_body_bytes)
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
            window.buffer, window.client_mask = np.dtype(str(dtype)), None
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
                window.client_mask, window.queue = None, []
        return JSONResponse({})

    async def undo(self, call: Call) -> Response:
        """``POST /undo``: take back the last interaction."""
        await read_object(call)
        async with self._window(call) as (_, window):
            if window.queue:
                window.queue.pop()
                return unchanged_reply(ran=True)
            mask = await self._prompting.undo(window, principal=call.principal)
            return unchanged_reply(ran=False) if mask is None else await self._reply(window, mask)

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

    async def add_mask(self, call: Call) -> Response:
        """``POST /add_initial_seg_interaction``: begin with a mask that the client has."""
        meta = read_meta(call)
        run = read_flag(meta, "run_prediction", default=False)
        folder = await call.stack.enter_async_context(self._spool.folder())
        path = await read_array(call, folder, max_bytes=self._files.max_body_bytes)
        async with self._window(call) as (lease, window):
            seed = await read_seed(path, folder, geometry=window.geometry, memory=self._memory)
            window.queue = [seed]
            # The client has this mask, without an answer.
            answer = await self._run(call, lease, window)
            return answer if run else unchanged_reply(ran=False)

    async def add_strokes(self, call: Call) -> Response:
        """``POST /add_scribble_interaction`` and ``POST /add_lasso_interaction``."""
        self._lease(call)
        raise PromptNotSupported("scribbles and lassos are not taken here yet; set points, or draw a box")

    async def _add(self, call: Call, read: Callable[..., Interaction]) -> Response:
        body = await read_object(call)
        run = read_flag(body, "run_prediction", default=True)
        async with self._window(call) as (lease, window):
            interaction = _read(read, body, shape=window.shape)
            if len(window.queue) >= MAX_QUEUE:
                raise ResourceExhausted(f"{MAX_QUEUE} interactions wait for a prediction; ask for one (/predict)")
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
        async with self._prompting.taken_back_on_failure(window, principal=call.principal):
            for interaction in queue:
                mask = await self._prompting.carry_out(
                    lease, window, interaction, principal=call.principal, deadline=call.deadline
                )
            return await self._reply(window, mask)

    async def _reply(self, window: Window, mask: PackedMask) -> Response:
        """Answer with what changes in the client's mask."""
        before, dtype = window.client_mask, window.buffer or np.dtype(np.uint8)
        async with self._memory.slot(), self._memory.memory(change_memory(before, mask, dtype)):
            answer = await asyncio.to_thread(changed_reply, before, mask, dtype)
        window.client_mask = mask
        return answer

    def _model(self, call: Call) -> Model:
        model = self._catalog.get(call.request.path_params["model"], tenant=call.principal.tenant)
        check_model(model)
        return model

    def _lease(self, call: Call) -> Lease:
        token, model = call.request.headers.get(_LEASE, ""), call.request.path_params["model"]
        return self._leases.find(token, call.principal, model=model)

    @contextlib.asynccontextmanager
    async def _working(self, call: Call) -> AsyncIterator[Lease]:
        """Let one call of a lease work at a time; the call's body must have been read."""
        lease = self._lease(call)
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
