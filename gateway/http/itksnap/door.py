"""The routes of ITK-SNAP's protocol, and what they do."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from fastapi import Response
from fastapi.responses import JSONResponse

from gateway.core.access import Activity, Role
from gateway.core.images import ImageStore
from gateway.core.runtime import Admission, Catalog, DeadlineLimits, Model
from gateway.core.runtime.fairness import Places
from gateway.core.sessions import Engine, Session, Sessions
from gateway.http.calls import Call, Handler
from gateway.http.door import CallerAddress, Door, HttpRoute
from gateway.http.forms import read_form
from gateway.http.itksnap.images import SentImages, read_voxels
from gateway.http.itksnap.objects import Objects
from gateway.http.itksnap.replies import error_text, mask_reply
from gateway.http.itksnap.session_ids import SnapId
from gateway.http.requests.spool import Spool, SpoolFolder
from gateway.http.windows.beginning import can_begin_at
from gateway.http.windows.object_steps import ObjectSteps
from sixpoint._typing import Ints
from sixpoint.errors import InvalidArgument, ModelNotFound, PromptError, Violation
from sixpoint.errors.shortening import quoted
from sixpoint.geometry import Geometry
from sixpoint.model_spec import ModelSpec, PromptKind, Task
from sixpoint.prompts import Click, Lasso, Prompt, Scribble
from sixpoint.prompts.voxel_runs import VoxelRuns

__all__ = ["itksnap_door"]

# The version of itksnap-dls whose protocol this is: ITK-SNAP compares it, number by number, with the one that it needs.
_VERSION = "0.1.6"
# Its name in itksnap-dls, under which earlier clients begin sessions.
_DEFAULT = "nnInteractive"
_INTEGER = re.compile(r"[+-]?[0-9]{1,9}")
_TRUE, _FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off", "")


def itksnap_door(
    *,
    images: ImageStore,
    sessions: Sessions,
    catalog: Catalog,
    engine: Engine,
    uploads: Places,
    spool: Spool,
    memory: Admission,
    max_image_bytes: int,
    deadlines: tuple[DeadlineLimits, DeadlineLimits],
) -> Door:
    """Build the door.

    Args:
        images: All images.
        sessions: All sessions.
        catalog: Models that can be used now.
        engine: Carries out calls on segments.
        uploads: Places of uploads.
        spool: Files of running calls.
        memory: Memory of answers.
        max_image_bytes: Largest image, in bytes of voxels.
        deadlines: Deadlines of calls and uploads.
    """
    short, upload = deadlines
    calls = _Calls(
        images=images,
        catalog=catalog,
        objects=Objects(sessions=sessions, engine=engine, catalog=catalog),
        sent=SentImages(images, max_bytes=max_image_bytes),
        uploads=uploads,
        spool=spool,
        memory=memory,
    )
    # ITK-SNAP asks for it before anything else.
    routes = [HttpRoute("GET", "/status", _status, None, short)]

    def add(method: str, path: str, handle: Handler, role: Role, *, deadline: DeadlineLimits = short) -> None:
        routes.extend(HttpRoute(method, f"{version}{path}", handle, role, deadline) for version in ("/v2", ""))

    add("GET", "/models", calls.models, Role.VIEWER)
    add("GET", "/start_session/{model}", calls.start, Role.ANNOTATOR)
    add("GET", "/start_session", calls.start, Role.ANNOTATOR)
    add("POST", "/upload_raw/{session}", calls.upload, Role.ANNOTATOR, deadline=upload)
    add("GET", "/process_point_interaction/{session}", calls.point, Role.ANNOTATOR)
    add("POST", "/process_scribble_interaction/{session}", calls.scribble, Role.ANNOTATOR, deadline=upload)
    add("POST", "/process_lasso_interaction/{session}", calls.lasso, Role.ANNOTATOR, deadline=upload)
    add("GET", "/reset_interactions/{session}", calls.reset, Role.ANNOTATOR)
    add("GET", "/end_session/{session}", calls.end, Role.ANNOTATOR)
    # An address with a path, such as one with a token, is typed into the field of the server, and ITK-SNAP puts a colon
    # and the port behind it: http://gateway:8000/itksnap:80/status.
    behind_port = [replace(route, path=f":{{port:int}}{route.path}") for route in routes]
    routes.extend(behind_port)
    return Door(
        "itksnap", "ITK-SNAP (DLS)", routes, at_root=True, error_form=error_text, guide=_guide, offers=_is_usable
    )


async def _status(call: Call) -> Response:
    """``GET /status``: that a server is here, and the version of the protocol."""
    del call
    return JSONResponse({"status": "ok", "version": _VERSION})


@dataclass(frozen=True)
class _Work:
    """What a call works on.

    Attributes:
        session: Session on the image that was sent last.
        geometry: Geometry of that image.
        spec: Spec of the model.
    """

    session: Session
    geometry: Geometry
    spec: ModelSpec


class _Calls:
    """Carries out calls."""

    def __init__(
        self,
        *,
        images: ImageStore,
        catalog: Catalog,
        objects: Objects,
        sent: SentImages,
        uploads: Places,
        spool: Spool,
        memory: Admission,
    ) -> None:
        self._images = images
        self._catalog = catalog
        self._objects = objects
        self._sent = sent
        self._uploads = uploads
        self._spool = spool
        self._memory = memory

    async def models(self, call: Call) -> Response:
        """``GET /v2/models``: models that outline an object from points."""
        models = {model.name: model.spec for model in self._usable(call)}
        if models:
            # The only name that ITK-SNAP's lasso asks for.
            models.setdefault(_DEFAULT, next(iter(models.values())))
        return JSONResponse({"models": [_describe(name, spec) for name, spec in models.items()]})

    async def start(self, call: Call) -> Response:
        """``GET /v2/start_session/{model}``: give an id; nothing is stored before an image comes."""
        name, usable = call.request.path_params.get("model", _DEFAULT), self._usable(call)
        model = next((model for model in usable if model.name == name), None)
        if model is None and name == _DEFAULT:
            model = next(iter(usable), None)
        if model is None:
            names = ", ".join(model.name for model in usable) or "none"
            raise ModelNotFound(f"no model {quoted(name)} outlines objects from points here; there are: {names}")
        return JSONResponse({"session_id": str(SnapId.new(model.name))})

    async def upload(self, call: Call) -> Response:
        """``POST /v2/upload_raw/{session}``: take the image that is worked on from now on."""
        snap = self._snap(call)
        call.limits.check(call.principal, Activity.UPLOAD)
        async with self._uploads.take():
            folder = await call.stack.enter_async_context(self._spool.folder())
            form = await read_form(call, folder, max_bytes=self._sent.max_body_bytes)
            async with call.while_connected():
                record = await self._sent.store(form, folder, principal=call.principal)
                await self._objects.show(snap, record, principal=call.principal)
        return JSONResponse({"message": "the image is stored"})

    async def point(self, call: Call) -> Response:
        """``GET /v2/process_point_interaction/{session}``: the mask after a click."""
        snap, click = self._snap(call), _read_click(call)
        folder = await call.stack.enter_async_context(self._spool.folder())
        return await self._answer(call, await self._work(call, snap), click, folder)

    async def scribble(self, call: Call) -> Response:
        """``POST /process_scribble_interaction/{session}``: the mask after a scribble."""
        return await self._stroke(call, lambda voxels, positive: Scribble(voxels, positive), what="scribble")

    async def lasso(self, call: Call) -> Response:
        """``POST /process_lasso_interaction/{session}``: the mask after a lasso, which comes filled."""
        return await self._stroke(
            call, lambda voxels, positive: Lasso(VoxelRuns.of(voxels, what="lasso"), positive), what="lasso"
        )

    async def _stroke(self, call: Call, make: Callable[[Ints, bool], Scribble | Lasso], *, what: str) -> Response:
        snap, positive = self._snap(call), _read_sign(call)
        work = await self._work(call, snap)
        folder = await call.stack.enter_async_context(self._spool.folder())
        form = await read_form(call, folder, max_bytes=self._sent.max_body_bytes)
        async with call.while_connected():
            voxels = await read_voxels(form, work.geometry.size, what=what)
            return await self._answer(call, work, make(voxels, positive), folder)

    async def _work(self, call: Call, snap: SnapId) -> _Work:
        session = await self._objects.current(snap, principal=call.principal)
        record = await self._images.describe(session.row.image_digest, principal=call.principal)
        model = self._catalog.get(session.row.model, tenant=call.principal.tenant)
        return _Work(session, record.geometry, model.spec)

    async def _answer(self, call: Call, work: _Work, drawn: Click | Scribble | Lasso, folder: SpoolFolder) -> Response:
        prompts: list[Prompt] = [drawn]
        if isinstance(drawn, Click | Scribble):
            earlier = await self._objects.prompts(work.session, principal=call.principal)
            steps = ObjectSteps(work.geometry, work.spec, memory=self._memory)
            prompts = await steps.of(drawn, earlier, lambda: self._objects.mask(work.session, principal=call.principal))
        result = await self._objects.annotate(work.session, prompts, principal=call.principal, deadline=call.deadline)
        return await mask_reply(result.mask, work.geometry.size, folder, memory=self._memory)

    async def reset(self, call: Call) -> Response:
        """``GET /v2/reset_interactions/{session}``: turn to a new object."""
        await self._objects.next_object(self._snap(call), principal=call.principal)
        return JSONResponse({"status": "success"})

    async def end(self, call: Call) -> Response:
        """``GET /v2/end_session/{session}``."""
        await self._objects.close(self._snap(call), principal=call.principal)
        return JSONResponse({"message": "Session ended"})

    def _snap(self, call: Call) -> SnapId:
        """The session that a call is about. Its model must be the caller's to use.

        Raises:
            SessionNotFound: It is no id of a gateway's.
            ModelNotFound: The caller has no such model.
        """
        snap = SnapId.parse(call.request.path_params["session"])
        self._catalog.get(snap.model, tenant=call.principal.tenant)
        return snap

    def _usable(self, call: Call) -> list[Model]:
        return list(filter(_is_usable, self._catalog.list(tenant=call.principal.tenant)))


def _is_usable(model: Model) -> bool:
    return model.spec.task is Task.ANNOTATION and can_begin_at(model.spec)


def _describe(name: str, spec: ModelSpec) -> dict[str, object]:
    kinds = {"point": PromptKind.CLICKS, "scribble": PromptKind.SCRIBBLES, "lasso": PromptKind.LASSO}
    interactions = [each for each, kind in kinds.items() if kind in spec.accepted_prompts]
    return {"id": name, "channels": [1], "dimensions": 3, "interactions": interactions}


def _read_click(call: Call) -> Click:
    query = call.request.query_params
    texts = query.getlist("point") or [query.get(name, "") for name in ("x", "y", "z")]
    if len(texts) != 3 or not all(map(_INTEGER.fullmatch, texts)):
        raise PromptError(
            "the call has no point; expected the voxel's index as three whole numbers, point=X&point=Y&point=Z",
            violations=(Violation("point", "three whole numbers"),),
        )
    x, y, z = map(int, texts)
    return Click((x, y, z), _read_sign(call))


def _read_sign(call: Call) -> bool:
    """Whether what is drawn belongs to the object."""
    foreground = call.request.query_params.get("foreground", "false").lower()
    if foreground not in (*_TRUE, *_FALSE):
        raise InvalidArgument(f"foreground is {quoted(foreground)}; expected true or false")
    return foreground in _TRUE


def _guide(address: CallerAddress) -> str:
    plain = address.path == "/itksnap" and (address.scheme == "http" or address.port == 443)
    host = address.host if plain else f"{address.host}:{address.port}{address.path}"
    # ITK-SNAP makes an address of "http", or "https" for port 443, "://", the server, ":" and the port.
    port = address.port if plain else 443 if address.scheme == "https" else 80
    return f"""\
ITK-SNAP 4.4 or later: in the preferences, on the page AI Extensions, add a server, choose "Network connection to GPU
server", and type
  Server: {host}
  Port: {port}
Then choose the paintbrush, in its settings the AI-Based Smart Brush and a model, and click on the object."""
