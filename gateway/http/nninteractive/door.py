"""The routes of nnInteractive's remote protocol: ``/nninteractive/MODEL``."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import Response

from gateway.core.access import Authenticator, Role
from gateway.core.images import ImageStore
from gateway.core.runtime import Admission, Catalog, DeadlineLimits
from gateway.core.runtime.fairness import Places
from gateway.core.sessions import Engine, Sessions
from gateway.http.calls import Call, Handler
from gateway.http.door import CallerAddress, Door, HttpRoute
from gateway.http.errors import HttpRefusal
from gateway.http.image_files import ImageFiles
from gateway.http.nninteractive.lease_calls import LeaseCalls
from gateway.http.nninteractive.leases import Leases, lease_lost
from gateway.http.nninteractive.prompting import Prompting
from gateway.http.nninteractive.service import NnInteractive
from gateway.http.requests.spool import Spool
from sixpoint.errors import (
    FailedPrecondition,
    ImageNotFound,
    SessionExpired,
    SessionNotFound,
    Unavailable,
)

__all__ = ["nninteractive_door"]

# The client waits for 60 s, then goes on without the answer.
_PROMPT_SECONDS = 50.0


def nninteractive_door(
    *,
    images: ImageStore,
    sessions: Sessions,
    catalog: Catalog,
    engine: Engine,
    uploads: Places,
    files: ImageFiles,
    spool: Spool,
    memory: Admission,
    leases: Leases,
    anybody: Authenticator | None,
    deadlines: tuple[DeadlineLimits, DeadlineLimits],
) -> Door:
    """Build the door.

    Args:
        images: All images.
        sessions: All sessions.
        catalog: Models that can be used now.
        engine: Carries out calls on segments.
        uploads: Places of uploads.
        files: Stores images.
        spool: Files of running calls.
        memory: Memory of prompts.
        leases: Leases of clients.
        anybody: Says who calls, where the gateway asks for no credentials; None where it does.
        deadlines: Deadlines of calls and uploads.
    """
    call, upload = deadlines
    prompt = DeadlineLimits(min(call.default, _PROMPT_SECONDS), min(call.maximum, _PROMPT_SECONDS), call.setting)
    prompting = Prompting(sessions=sessions, images=images, engine=engine, catalog=catalog, memory=memory)
    on_leases = LeaseCalls(leases, prompting=prompting, catalog=catalog, anybody=anybody)
    service = NnInteractive(
        leases=on_leases,
        prompting=prompting,
        files=files,
        uploads=uploads,
        spool=spool,
        memory=memory,
    )
    works = (
        ("POST", "/release", on_leases.release, prompt),
        ("POST", "/set_image", service.set_image, upload),
        ("POST", "/set_target_buffer", service.set_target_buffer, prompt),
        ("POST", "/set_do_autozoom", service.set_do_autozoom, prompt),
        ("POST", "/reset_interactions", service.reset_interactions, prompt),
        ("POST", "/undo", service.undo, prompt),
        ("POST", "/predict", service.predict, prompt),
        ("POST", "/add_point_interaction", service.add_point, prompt),
        ("POST", "/add_bbox_interaction", service.add_box, prompt),
        ("POST", "/add_scribble_interaction", service.add_scribble, prompt),
        ("POST", "/add_lasso_interaction", service.add_lasso, prompt),
        ("POST", "/add_initial_seg_interaction", service.add_mask, prompt),
    )
    routes = [
        # The button that tests the connection sends no key.
        HttpRoute("GET", "/{model}/healthz", _in_its_codes(on_leases.health), None, prompt),
        HttpRoute("GET", "/{model}/", _in_its_codes(on_leases.page), Role.VIEWER, prompt, short=True),
        *(
            HttpRoute(method, f"/{{model}}{path}", _in_its_codes(handle), Role.ANNOTATOR, limits)
            for method, path, handle, limits in works
        ),
        *(
            HttpRoute(method, f"/{{model}}{path}", _in_its_codes(handle), role, prompt, short=True)
            for method, path, handle, role in (
                ("POST", "/claim", on_leases.claim, Role.ANNOTATOR),
                ("GET", "/capabilities", on_leases.capabilities, Role.VIEWER),
                ("POST", "/heartbeat", on_leases.heartbeat, Role.ANNOTATOR),
                ("GET", "/lease_status", on_leases.lease_status, Role.ANNOTATOR),
            )
        ),
    ]
    return Door(
        "nninteractive",
        "napari and 3D Slicer (nnInteractive)",
        routes,
        guide=_guide,
        offers=lambda model: bool(model.spec.prompts),
    )


def _guide(address: CallerAddress) -> str:
    return f"""\
Each model has an address of its own: {address}/MODEL
napari: install napari-nninteractive, choose the remote mode, and type the model's address into the field of the server.
3D Slicer: install the extension nnInteractive, and type the model's address into its field of the server.
Python: pip install nninteractive-client, then nnInteractiveRemoteInferenceSession("{address}/annotation")"""


def _in_its_codes(handle: Handler) -> Handler:
    """Give errors the codes that its clients understand: 410 for what is over, 503 only where there is no place."""

    async def carry_out(call: Call) -> Response:
        try:
            return await handle(call)
        except (SessionExpired, SessionNotFound, ImageNotFound) as error:
            raise lease_lost(error) from None
        except FailedPrecondition as error:
            raise HttpRefusal(HTTPStatus.BAD_REQUEST, error) from None
        except Unavailable as error:
            raise HttpRefusal(HTTPStatus.BAD_GATEWAY, error) from None

    return carry_out
