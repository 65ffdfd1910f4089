"""The API's door: its operations as routes, and its document."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Sequence
from typing import Any

from fastapi import Response

from gateway.contract import AnnotationCalls, DatasetCalls, JobCalls, LearningCalls, ModelCalls, SessionCalls
from gateway.core.images import ImageStore
from gateway.core.runtime import Admission, Catalog, DeadlineLimits
from gateway.core.runtime.fairness import Places
from gateway.core.segmentation.segmenter import Segmenter
from gateway.core.sessions import Engine, Sessions
from gateway.http.calls import Call
from gateway.http.door import CallerAddress, Door
from gateway.http.image_files import ImageFiles
from gateway.http.requests.spool import Spool
from gateway.http.rest.masks import MaskReplies
from gateway.http.rest.messages import NO_STORE
from gateway.http.rest.openapi import describe_api
from gateway.http.rest.operations import Operation
from gateway.http.rest.problems import problem_response
from gateway.http.rest.resources.annotations import LabelFiles, annotation_operations
from gateway.http.rest.resources.caller import me_operation
from gateway.http.rest.resources.datasets import dataset_operations
from gateway.http.rest.resources.dicom_masks import DicomMasks, dicom_mask_operation
from gateway.http.rest.resources.downloads import download_operation
from gateway.http.rest.resources.files import Files
from gateway.http.rest.resources.images import Images
from gateway.http.rest.resources.jobs import job_operations
from gateway.http.rest.resources.learning import learning_operations
from gateway.http.rest.resources.models import model_operations
from gateway.http.rest.resources.segmentations import segmentation_operations
from gateway.http.rest.resources.segments import segment_operations
from gateway.http.rest.resources.sessions import session_operations

__all__ = ["NAME", "api_document", "rest_door"]

NAME = "api/v1"
"""First part of the paths."""


def rest_door(
    *,
    images: ImageStore,
    sessions: Sessions,
    catalog: Catalog,
    engine: Engine,
    segmenter: Segmenter,
    datasets: DatasetCalls,
    jobs: JobCalls,
    learning: LearningCalls,
    streams: Places,
    uploads: Places,
    files: ImageFiles,
    spool: Spool,
    memory: Admission,
    deadlines: tuple[DeadlineLimits, DeadlineLimits, DeadlineLimits],
) -> Door:
    """Build the door.

    Args:
        images: All images.
        sessions: All sessions.
        catalog: Models that can be used now.
        engine: Carries out calls on segments.
        segmenter: Segments whole images.
        datasets: Calls on datasets.
        jobs: Calls on jobs.
        learning: Calls on learning.
        streams: Places of those who watch a job.
        uploads: Places of uploads.
        files: Stores images that come as files.
        spool: Files of running calls.
        memory: Memory of label maps.
        deadlines: Deadlines of calls, uploads and segmentations.
    """
    operations = make_operations(
        images=images,
        sessions=sessions,
        catalog=catalog,
        engine=engine,
        segmenter=segmenter,
        datasets=datasets,
        jobs=jobs,
        learning=learning,
        streams=streams,
        uploads=uploads,
        files=files,
        spool=spool,
        memory=memory,
        deadlines=deadlines,
    )
    routes = [operation.route() for operation in operations]
    return Door(NAME, "programs (REST, JSON)", routes, error_form=problem_response, guide=_guide)


def api_document() -> dict[str, Any]:
    """Return the document of the API (OpenAPI), which needs no gateway."""
    none: Any = None
    operations = make_operations(
        images=none,
        sessions=none,
        catalog=none,
        engine=none,
        segmenter=none,
        datasets=DatasetCalls(datasets=none, annotations=none, saver=none, assignments=none, removal=none),
        jobs=JobCalls(none),
        learning=LearningCalls(none),
        streams=none,
        uploads=none,
        files=none,
        spool=none,
        memory=none,
        deadlines=(none, none, none),
    )
    return describe_api(operations, server=f"/{NAME}")


def make_operations(
    *,
    images: ImageStore,
    sessions: Sessions,
    catalog: Catalog,
    engine: Engine,
    segmenter: Segmenter,
    datasets: DatasetCalls,
    jobs: JobCalls,
    learning: LearningCalls,
    streams: Places,
    uploads: Places,
    files: ImageFiles,
    spool: Spool,
    memory: Admission,
    deadlines: tuple[DeadlineLimits, DeadlineLimits, DeadlineLimits],
) -> list[Operation]:
    """Return the operations; the arguments are those of :func:`rest_door`."""
    short, upload, segmentation = deadlines
    replies = MaskReplies(engine=engine, sessions=sessions, images=images, spool=spool, memory=memory)
    dicom = DicomMasks(engine=engine, sessions=sessions, images=images, files=files, uploads=uploads, spool=spool)
    labels = LabelFiles(images=images, files=files, uploads=uploads, spool=spool, memory=memory)
    operations = [
        me_operation(short),
        *model_operations(ModelCalls(catalog), short),
        *Images(images=images, files=files, uploads=uploads, spool=spool).operations(short=short, upload=upload),
        *Files(images=images, files=files, uploads=uploads).operations(short=short, upload=upload),
        download_operation(images, upload),
        *session_operations(SessionCalls(sessions=sessions, catalog=catalog), replies, short),
        dicom_mask_operation(dicom, upload),
        *segment_operations(AnnotationCalls(engine), replies, short),
        *dataset_operations(datasets, short),
        *annotation_operations(datasets, labels, replies, (short, upload)),
        *segmentation_operations(segmenter, images, replies, segmentation),
        *job_operations(jobs, streams, (short, segmentation)),
        *learning_operations(learning, short),
    ]
    return [*operations, _document_operation(operations, short)]


def _document_operation(others: Sequence[Operation], deadlines: DeadlineLimits) -> Operation:
    @functools.cache
    def document() -> bytes:
        return json.dumps(describe_api([*others, operation], server=f"/{NAME}")).encode()

    async def show(call: Call) -> Response:
        del call
        return Response(await asyncio.to_thread(document), media_type="application/json", headers=dict(NO_STORE))

    operation = Operation(
        "GET",
        "/openapi.json",
        "getDocument",
        "Describe this API (OpenAPI 3.1)",
        show,
        None,
        deadlines,
        media={"application/json": {"type": "object"}},
    )
    return operation


def _guide(address: CallerAddress) -> str:
    return (
        "An API for programs: images, sessions, prompts, masks, as JSON and bytes.\n"
        f"  OpenAPI document: {address}/openapi.json\n"
        f"  Who you are here: curl {address}/me\n"
        f"  Upload an image:  curl --data-binary @image.nii.gz '{address}/images?format=nii.gz'"
    )
