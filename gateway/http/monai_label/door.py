"""The routes of MONAI Label's dialect."""

from __future__ import annotations

from fastapi import Response
from fastapi.responses import JSONResponse, PlainTextResponse

import sixpoint
from gateway.core.access import Role
from gateway.core.datasets import Annotations, AnnotationSaver, Assignments, Datasets
from gateway.core.images import ImageStore
from gateway.core.runtime import Admission, Catalog, DeadlineLimits
from gateway.core.sessions import Sessions
from gateway.http.calls import Call, Handler
from gateway.http.dicomweb import DicomwebProxy, SeriesImages, dicomweb_routes
from gateway.http.door import CallerAddress, Door, HttpRoute
from gateway.http.image_files import ImageFiles
from gateway.http.monai_label.datastore import Datastore
from gateway.http.monai_label.inference import Inference
from gateway.http.monai_label.labels import Labels
from gateway.http.monai_label.samples import Samples
from gateway.http.requests.spool import Spool
from gateway.http.windows import Windows
from gateway.http.windows.names import ImageNames
from sixpoint.errors import NotFound

__all__ = ["monai_label_door"]

_NO_TRAINING = "this gateway does not train; train with sixpoint's trainer, and publish what it exports"
_NO_BATCHES = "batches are not there yet; ask for one image after the other (/infer/{model})"
_NO_SCORING = "scoring is not there yet"
_NO_LABEL_REMOVAL = "saved annotations stay; reject one, with a reason (sixpoint dataset reject)"
_NO_REMOVAL = "images are removed when nobody has used them for a while, not on request"


def monai_label_door(
    *,
    images: ImageStore,
    sessions: Sessions,
    catalog: Catalog,
    datasets: Datasets,
    annotations: Annotations,
    saver: AnnotationSaver,
    assignments: Assignments,
    dataset: str,
    files: ImageFiles,
    spool: Spool,
    memory: Admission,
    windows: Windows,
    deadlines: tuple[DeadlineLimits, DeadlineLimits, DeadlineLimits],
    series: SeriesImages | None,
    proxy: DicomwebProxy,
) -> Door:
    """Build the door.

    Args:
        images: All images.
        sessions: All sessions.
        catalog: Models that can be used now.
        datasets: All datasets.
        annotations: All annotations.
        saver: Saves annotations.
        assignments: Gives images to annotators.
        dataset: Name of the dataset in which viewers save labels; empty for none.
        files: Stores images that come as files.
        spool: Files of running calls.
        memory: Memory of label maps.
        windows: Sessions of clients.
        deadlines: Deadlines of calls, uploads and segmentations.
        series: Finds series of the DICOMweb server; None without one.
        proxy: Passes DICOMweb on.
    """
    short, upload, segmentation = deadlines
    names, clients = ImageNames(), windows.clients
    samples = Samples(sessions=sessions, datasets=datasets, assignments=assignments, dataset=dataset)
    store = Datastore(images=images, samples=samples, catalog=catalog, clients=clients, names=names)
    labels = Labels(
        images=images,
        datasets=datasets,
        annotations=annotations,
        saver=saver,
        files=files,
        names=names,
        spool=spool,
        memory=memory,
        dataset=dataset,
    )
    inference = Inference(
        catalog=catalog,
        images=images,
        files=files,
        results=windows.results,
        names=names,
        spool=spool,
        memory=memory,
        series=series,
    )
    routes = [
        *dicomweb_routes(proxy, deadlines=upload),
        # Clients ask it before they have credentials.
        HttpRoute("GET", "/auth/", _auth, None, short),
        HttpRoute("GET", "/info/", store.info, Role.VIEWER, short, short=True),
        HttpRoute("GET", "/logs/", _logs(catalog), Role.VIEWER, short, short=True),
        HttpRoute("PUT", "/session/", clients.create, Role.ANNOTATOR, upload),
        HttpRoute("GET", "/session/{session_id}", clients.get, Role.VIEWER, upload),
        HttpRoute("DELETE", "/session/{session_id}", clients.remove, Role.ANNOTATOR, short),
        HttpRoute("GET", "/datastore/", store.summary, Role.VIEWER, short, short=True),
        HttpRoute("PUT", "/datastore/", store.put_image, Role.ANNOTATOR, upload),
        HttpRoute("PUT", "/datastore/image", store.put_image, Role.ANNOTATOR, upload),
        HttpRoute("GET", "/datastore/image", store.get_image, Role.VIEWER, upload),
        HttpRoute("GET", "/datastore/image/info", store.image_info, Role.VIEWER, short, short=True),
        HttpRoute("PUT", "/datastore/label", labels.put, Role.ANNOTATOR, upload),
        HttpRoute("GET", "/datastore/label", labels.get, Role.VIEWER, upload),
        HttpRoute("POST", "/infer/{model}", inference.infer, Role.ANNOTATOR, segmentation),
        HttpRoute("POST", "/activelearning/{strategy}", store.next_sample, Role.ANNOTATOR, short, short=True),
    ]
    # What is not there is said to those who might have used it.
    for method, path, role, reason in (
        ("GET", "/train/", Role.VIEWER, _NO_TRAINING),
        ("POST", "/train/", Role.ENGINEER, _NO_TRAINING),
        ("POST", "/train/{model}", Role.ENGINEER, _NO_TRAINING),
        ("DELETE", "/train/", Role.ENGINEER, _NO_TRAINING),
        ("GET", "/batch/infer", Role.VIEWER, _NO_BATCHES),
        ("POST", "/batch/infer/{model}", Role.ENGINEER, _NO_BATCHES),
        ("GET", "/scoring/", Role.VIEWER, _NO_SCORING),
        ("DELETE", "/datastore/label", Role.ANNOTATOR, _NO_LABEL_REMOVAL),
        ("DELETE", "/datastore/", Role.ADMIN, _NO_REMOVAL),
    ):
        routes.append(HttpRoute(method, path, _absent(reason), role, short))
    return Door("monailabel", "3D Slicer and MITK (MONAI Label)", routes, at_root=True, guide=_guide)


def _guide(address: CallerAddress) -> str:
    return f"""\
3D Slicer: install the extension MONAILabel, open its module, and type into the field of the server
  {address}
Press the button beside it. On the tab SmartEdit / Deepgrow, set six points on the object's extremes, then correct.
MONAI Label's Python client: MONAILabelClient("{address}")"""


async def _auth(call: Call) -> Response:
    """``GET /auth/``: no passwords are asked for; a token goes into the address, or into the header."""
    del call
    return JSONResponse({"enabled": False})


def _logs(catalog: Catalog) -> Handler:
    async def show(call: Call) -> Response:
        names = ", ".join(f"{model.name} {model.version}" for model in catalog.list(tenant=call.principal.tenant))
        return PlainTextResponse(f"sixpoint {sixpoint.__version__}\nmodels: {names}\n")

    return show


def _absent(reason: str) -> Handler:
    async def refuse(call: Call) -> Response:
        del call
        raise NotFound(reason)

    return refuse
