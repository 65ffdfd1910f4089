"""The routes of AIAA's dialect."""

from __future__ import annotations

from fastapi import Response
from fastapi.responses import JSONResponse, PlainTextResponse

import sixpoint
from gateway.core.access import Role
from gateway.core.images import ImageStore
from gateway.core.runtime import Catalog, DeadlineLimits
from gateway.http.aiaa.admin import ModelCalls
from gateway.http.aiaa.inference import Inference
from gateway.http.aiaa.models import filter_models, find_model, offered_models
from gateway.http.aiaa.polygon_calls import PolygonCalls
from gateway.http.calls import Call, Handler
from gateway.http.door import CallerAddress, Door, HttpRoute
from gateway.http.image_files import ImageFiles
from gateway.http.requests.spool import Spool
from gateway.http.windows import Windows
from gateway.http.windows.error_forms import aiaa_error_response

__all__ = ["aiaa_door"]

_DOCS = """\
AIAA v1, as sixpoint serves it. Images are NIfTI, NRRD or MetaImage, and no pictures; masks come back on their grid.

  GET    /v1/models             all models; with ?label= those for a label, ?type= of a type, ?model= one of them
  PUT    /session/?expiry=N     an image in the field image; answers {"session_id": ...}
  GET    /session/ID            whether the session is open
  DELETE /session/ID            close it
  POST   /v1/segmentation       ?model=M[&session_id=ID]            params={}
  POST   /v1/dextr3d            ?model=M[&session_id=ID]            params={"points": [[x,y,z], ...]}, six or more
  POST   /v1/deepgrow           ?model=M[&session_id=ID]            params={"foreground": [...], "background": [...]}
  POST   /v1/inference          ?model=M[&session_id=ID]            whichever of these three the model is for
  POST   /v1/mask2polygon       a mask in the field image           params={"more_points": 10}
  POST   /v1/fixpolygon         a slice (PNG) or a volume           params={"poly": ..., "polygon_index": ...,
                                "vertex_index": ..., "vertex_offset": [..], "propagate_neighbor": 1, and for a volume
                                "slice_index": ..., "propagate_neighbor_3d": 1}
  GET    /logs/                 version and models
  GET    /admin/model/NAME      what a model says about itself, for admins; they publish and remove models elsewhere

Without session_id the image comes in the field image or datapoint. Points are voxel indices of that image. An ended
session is answered with 440, other errors with {"error": {"message": [...], "type": ...}, "success": false}.
"""


def aiaa_door(
    *,
    images: ImageStore,
    catalog: Catalog,
    files: ImageFiles,
    spool: Spool,
    windows: Windows,
    deadlines: tuple[DeadlineLimits, DeadlineLimits, DeadlineLimits],
) -> Door:
    """Build the door.

    Args:
        images: All images.
        catalog: Models that can be used now.
        files: Stores images that come as files.
        spool: Files of running calls.
        windows: Sessions of clients.
        deadlines: Deadlines of calls, uploads and segmentations.
    """
    short, upload, segmentation = deadlines
    clients = windows.clients
    polygons = PolygonCalls(files=files, spool=spool)
    models = ModelCalls(catalog)
    inference = Inference(catalog=catalog, images=images, files=files, windows=windows, spool=spool)
    routes = [
        HttpRoute("GET", "/v1/models/", _models(catalog), Role.VIEWER, short, short=True),
        HttpRoute("PUT", "/session/", clients.create, Role.ANNOTATOR, upload),
        HttpRoute("GET", "/session/{session_id}", clients.get, Role.VIEWER, upload),
        HttpRoute("DELETE", "/session/{session_id}", clients.remove, Role.ANNOTATOR, short),
        HttpRoute("GET", "/logs/", _logs(catalog), Role.VIEWER, short, short=True),
        HttpRoute("GET", "/docs/", _docs, None, short),
        HttpRoute("GET", "/admin/model/{name}", models.describe, Role.ADMIN, short, short=True),
    ]
    routes += [
        HttpRoute("POST", f"/v1/{kind}/", inference.of_kind(kind), Role.ANNOTATOR, segmentation)
        for kind in ("segmentation", "dextr3d", "deepgrow", "inference")
    ]
    routes += [
        HttpRoute("POST", "/v1/mask2polygon/", polygons.trace, Role.ANNOTATOR, upload),
        HttpRoute("POST", "/v1/fixpolygon/", polygons.fix, Role.ANNOTATOR, upload),
    ]
    routes += [
        HttpRoute(method, "/admin/model/{name}", handle, Role.ADMIN, short)
        for method, handle in (("PUT", models.add), ("PATCH", models.change), ("DELETE", models.remove))
    ]
    return Door(
        "aiaa",
        "MITK, 3D Slicer and OHIF (NVIDIA AIAA)",
        routes,
        at_root=True,
        error_form=aiaa_error_response,
        guide=_guide,
        # Users type the address of the models into the field of the server's.
        prefixes=("/v1", "/v1/models"),
    )


def _guide(address: CallerAddress) -> str:
    return f"""\
MITK with NVIDIA's plug-in: Preferences, Nvidia AIAA, Server URI
  {address}
3D Slicer with the extension NvidiaAIAssistedAnnotation: type the same into the field of the server.
AIAA's Python client: AIAAClient("{address}")
{address}/docs/ lists the calls."""


def _models(catalog: Catalog) -> Handler:
    async def models(call: Call) -> Response:
        query, tenant = call.request.query_params, call.principal.tenant
        if query.get("model"):
            return JSONResponse(find_model(query["model"], catalog, tenant=tenant).describe())
        models = offered_models(catalog.list(tenant=tenant))
        chosen = filter_models(models, label=query.get("label", ""), kind=query.get("type", ""))
        return JSONResponse([each.describe() for each in chosen])

    return models


def _logs(catalog: Catalog) -> Handler:
    async def logs(call: Call) -> Response:
        names = ", ".join(f"{model.name} {model.version}" for model in catalog.list(tenant=call.principal.tenant))
        return PlainTextResponse(f"sixpoint {sixpoint.__version__}\nmodels: {names}\n")

    return logs


async def _docs(call: Call) -> Response:
    """``GET /docs/``."""
    del call
    return PlainTextResponse(_DOCS)
