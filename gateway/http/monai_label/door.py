"""The routes of MONAI Label's dialect."""

from __future__ import annotations

from collections.abc import Collection

from fastapi import Response
from fastapi.responses import PlainTextResponse

import sixpoint
from gateway.core.access import Authenticator, Method, Role
from gateway.core.datasets import Annotations, AnnotationSaver, Assignments, Datasets
from gateway.core.images import ImageStore
from gateway.core.jobs import Jobs
from gateway.core.runtime import Admission, Catalog, DeadlineLimits
from gateway.core.sessions import Sessions
from gateway.http.calls import Call, Handler
from gateway.http.dicomweb import DicomwebProxy, SeriesImages, dicomweb_routes
from gateway.http.door import CallerAddress, Door, HttpRoute
from gateway.http.image_files import ImageFiles
from gateway.http.monai_label.datastore import Datastore
from gateway.http.monai_label.inference import Inference
from gateway.http.monai_label.labels import Labels
from gateway.http.monai_label.logins import Logins
from gateway.http.monai_label.samples import Samples
from gateway.http.monai_label.tasks import Tasks
from gateway.http.requests.spool import Spool
from gateway.http.windows import Windows
from gateway.http.windows.names import ImageNames
from gateway.http.windows.sessions import ClientSessions
from sixpoint.errors import NotFound

__all__ = ["monai_label_door"]

_NO_LABEL_REMOVAL = "saved annotations stay; reject one, with a reason (sixpoint dataset reject)"
_NO_REMOVAL = "images are removed when nobody has used them for a while, not on request"
_NO_NOTES = "this gateway keeps no notes on images; say what a label needs in its review (PUT /datastore/label/info)"
_NO_ARCHIVE = "a dataset is not sent as one zip; export it as a folder (sixpoint dataset export)"
_NO_WEIGHTS = "weights are neither sent nor taken here; exporter publish brings a model into the repository"
_NO_GPU = "this gateway has no GPU of its own; Triton's metrics say how busy its GPUs are"


# What is not there is said to those who might have used it.
_ABSENT = (
    ("DELETE", "/datastore/label", Role.ANNOTATOR, _NO_LABEL_REMOVAL),
    ("DELETE", "/datastore/", Role.ADMIN, _NO_REMOVAL),
    ("DELETE", "/datastore/image", Role.ADMIN, _NO_REMOVAL),
    ("PUT", "/datastore/image/info", Role.ANNOTATOR, _NO_NOTES),
    ("GET", "/datastore/dataset", Role.ENGINEER, _NO_ARCHIVE),
    *((method, "/model/{name}", Role.ADMIN, _NO_WEIGHTS) for method in ("GET", "PUT", "DELETE")),
    ("GET", "/logs/gpu", Role.VIEWER, _NO_GPU),
)


def monai_label_door(
    *,
    images: ImageStore,
    sessions: Sessions,
    catalog: Catalog,
    datasets: Datasets,
    annotations: Annotations,
    saver: AnnotationSaver,
    assignments: Assignments,
    jobs: Jobs,
    dataset: str,
    files: ImageFiles,
    spool: Spool,
    memory: Admission,
    windows: Windows,
    deadlines: tuple[DeadlineLimits, DeadlineLimits, DeadlineLimits],
    series: SeriesImages | None,
    proxy: DicomwebProxy,
    authenticator: Authenticator,
    methods: Collection[Method],
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
        jobs: All jobs.
        dataset: Name of the dataset in which viewers save labels; empty for none.
        files: Stores images that come as files.
        spool: Files of running calls.
        memory: Memory of label maps.
        windows: Sessions of clients.
        deadlines: Deadlines of calls, uploads and segmentations.
        series: Finds series of the DICOMweb server; None without one.
        proxy: Passes DICOMweb on.
        authenticator: Checks tokens that people type as passwords.
        methods: How callers prove who they are.
    """
    short, upload, segmentation = deadlines
    names, clients = ImageNames(), windows.clients
    samples = Samples(sessions=sessions, datasets=datasets, assignments=assignments, dataset=dataset)
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
    tasks = Tasks(jobs=jobs, catalog=catalog, samples=samples, dataset=dataset)
    store = Datastore(
        images=images,
        samples=samples,
        catalog=catalog,
        clients=clients,
        names=names,
        labels=labels,
        tasks=tasks,
        series=series,
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
        *Logins(authenticator, methods, spool).routes(short),
        *tasks.routes(short),
        *_store_routes(store, clients, short=short, upload=upload),
        *_label_routes(labels, short=short, upload=upload),
        HttpRoute("GET", "/logs/", _logs(catalog), Role.VIEWER, short, short=True),
        HttpRoute("POST", "/infer/{model}", inference.infer, Role.ANNOTATOR, segmentation),
        *(HttpRoute(method, path, _absent(reason), role, short) for method, path, role, reason in _ABSENT),
    ]
    return Door("monailabel", "3D Slicer and MITK (MONAI Label)", routes, at_root=True, guide=_guide)


def _store_routes(
    store: Datastore, clients: ClientSessions, *, short: DeadlineLimits, upload: DeadlineLimits
) -> list[HttpRoute]:
    return [
        HttpRoute("GET", "/info/", store.info, Role.VIEWER, short, short=True),
        HttpRoute("PUT", "/session/", clients.create, Role.ANNOTATOR, upload),
        HttpRoute("GET", "/session/{session_id}", clients.get, Role.VIEWER, upload),
        HttpRoute("DELETE", "/session/{session_id}", clients.remove, Role.ANNOTATOR, short),
        HttpRoute("GET", "/datastore/", store.summary, Role.VIEWER, short, short=True),
        HttpRoute("PUT", "/datastore/", store.put_image, Role.ANNOTATOR, upload),
        HttpRoute("PUT", "/datastore/image", store.put_image, Role.ANNOTATOR, upload),
        # Before GET, which would answer HEAD, too, with all the work of the image's file.
        HttpRoute("HEAD", "/datastore/image", store.check_image, Role.VIEWER, upload),
        HttpRoute("GET", "/datastore/image", store.get_image, Role.VIEWER, upload),
        HttpRoute("GET", "/datastore/image/info", store.image_info, Role.VIEWER, short, short=True),
        HttpRoute("POST", "/activelearning/{strategy}", store.next_sample, Role.ANNOTATOR, short, short=True),
    ]


def _label_routes(labels: Labels, *, short: DeadlineLimits, upload: DeadlineLimits) -> list[HttpRoute]:
    return [
        HttpRoute("PUT", "/datastore/label", labels.put, Role.ANNOTATOR, upload),
        HttpRoute("HEAD", "/datastore/label", labels.check, Role.VIEWER, short, short=True),
        HttpRoute("GET", "/datastore/label", labels.get, Role.VIEWER, upload),
        HttpRoute("GET", "/datastore/label/info", labels.info, Role.VIEWER, short, short=True),
        # As reviews are by every other way.
        HttpRoute("PUT", "/datastore/label/info", labels.update_info("info"), Role.ENGINEER, short, short=True),
        HttpRoute("PUT", "/datastore/updatelabelinfo", labels.update_info("params"), Role.ENGINEER, short, short=True),
    ]


def _guide(address: CallerAddress) -> str:
    return f"""\
3D Slicer: install the extension MONAILabel, open its module, and type into the field of the server
  {address}
Press the button beside it; if it asks for a password, type your token, with any name.
On the tab SmartEdit / Deepgrow, set six points on the object's extremes, then correct.
MONAI Label's Python client: MONAILabelClient("{address}")"""


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
