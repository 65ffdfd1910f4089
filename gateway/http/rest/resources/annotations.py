"""Annotations of a dataset: saved from a session or a file, listed, reviewed; and their masks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import Response
from google.protobuf.message import Message

from gateway.contract import DatasetCalls
from gateway.core.access import Activity, Role
from gateway.core.images import ImageStore
from gateway.core.runtime import Admission, DeadlineLimits
from gateway.core.runtime.fairness import Places
from gateway.http.calls import Call
from gateway.http.forms import read_raw_file
from gateway.http.image_files import ImageFiles
from gateway.http.requests.spool import Spool
from gateway.http.rest.examples import ADJUDICATION, ANNOTATION, REVIEW
from gateway.http.rest.masks import FILE_FORMS, MaskReplies
from gateway.http.rest.messages import json_answer, read_request, single_values
from gateway.http.rest.operations import BINARY, Operation, Parameter, contract_operation
from gateway.http.rest.preconditions import choose_form
from gateway.http.rest.resources.datasets import DATASET_PATH, IMAGE_PATH
from gateway.http.rest.schemas import schema_of
from gateway.http.windows.label_masks import masks_of_labels
from sixpoint.errors import InvalidArgument, Violation
from sixpoint.errors.shortening import quoted
from sixpoint.protocol import mask_from_message, mask_to_message
from sixpoint.v1 import dataset_service_pb2 as dataset_pb

__all__ = ["LabelFiles", "annotation_operations"]

_ANNOTATION = "/annotations/{id}"
_MASKS = schema_of(dataset_pb.ImportAnnotationRequest.DESCRIPTOR, name="AnnotationMasks", fields=frozenset({"labels"}))
_FORMS = (("json", "application/json"), *FILE_FORMS)
_KINDS = ("nii", "nii.gz", "nrrd", "mha")
_FORMAT = "format"
_STATES = dataset_pb.AnnotationState.keys()


@dataclass(frozen=True)
class LabelFiles:
    """What reads label maps that come as files.

    Attributes:
        images: All images.
        files: Reads image files.
        uploads: Places of uploads.
        spool: Files of running calls.
        memory: Memory of label maps.
    """

    images: ImageStore
    files: ImageFiles
    uploads: Places
    spool: Spool
    memory: Admission


def annotation_operations(
    calls: DatasetCalls, labels: LabelFiles, replies: MaskReplies, deadlines: tuple[DeadlineLimits, DeadlineLimits]
) -> Sequence[Operation]:
    """The operations on annotations.

    Args:
        calls: Carries out the calls of the contract.
        labels: What reads label maps.
        replies: Answers with files.
        deadlines: Deadlines of calls, and of uploads.
    """
    short, upload = deadlines
    return [
        *_saving(calls, short),
        _importing_file(calls, labels, upload),
        *_reading(calls, replies, short),
    ]


def _saving(calls: DatasetCalls, deadlines: DeadlineLimits) -> list[Operation]:
    # They wait for masks, so they take no turns.
    return [
        contract_operation(
            "POST",
            f"{DATASET_PATH}/annotations",
            "saveAnnotation",
            "Save the segments of a session as an annotation",
            dataset_pb.SaveAnnotationRequest,
            calls.save_annotation,
            Role.ANNOTATOR,
            deadlines,
            in_body=True,
            part="annotation",
            status=201,
            location=lambda saved: f"../../annotations/{saved.id}",
            short=False,
            example=ANNOTATION,
        ),
        contract_operation(
            "POST",
            f"{IMAGE_PATH}/annotations",
            "importAnnotation",
            "Save masks that were made elsewhere as an annotation",
            dataset_pb.ImportAnnotationRequest,
            calls.import_annotation,
            Role.ANNOTATOR,
            deadlines,
            description="The masks are packed, as in answers; label maps in files go to .../mask.",
            in_body=True,
            part="annotation",
            status=201,
            location=lambda saved: f"../../../../annotations/{saved.id}",
            short=False,
        ),
        contract_operation(
            "POST",
            f"{_ANNOTATION}/review",
            "reviewAnnotation",
            "Accept or reject an annotation",
            dataset_pb.ReviewAnnotationRequest,
            calls.review_annotation,
            Role.ENGINEER,
            deadlines,
            in_body=True,
            part="annotation",
            example=REVIEW,
        ),
        contract_operation(
            "POST",
            f"{_ANNOTATION}/adjudicate",
            "adjudicateAnnotations",
            "Let an annotation decide between those of an image that disagree",
            dataset_pb.AdjudicateAnnotationsRequest,
            calls.adjudicate_annotations,
            Role.ENGINEER,
            deadlines,
            in_body=True,
            part="annotation",
            example=ADJUDICATION,
        ),
    ]


def _importing_file(calls: DatasetCalls, labels: LabelFiles, deadlines: DeadlineLimits) -> Operation:
    async def take(call: Call) -> Response:
        query, path = single_values(call.request), call.request.path_params
        for name in query:
            if name != "state":
                raise InvalidArgument(
                    "the request's query has a parameter that this address does not take",
                    violations=(Violation(name[:80], "there is no such parameter"),),
                )
        kind = call.request.query_params.get(_FORMAT, "")
        if kind not in _KINDS:
            raise InvalidArgument(
                f"format is {quoted(kind)}; expected what the file is: {', '.join(_KINDS)}",
                violations=(Violation(_FORMAT, f"one of {', '.join(_KINDS)}"),),
            )
        state = query.get("state", "ANNOTATION_STATE_UNSPECIFIED")
        if state not in _STATES:
            raise InvalidArgument(
                f"state is {quoted(state)}; expected the name of a state",
                violations=(Violation("state", f"one of {', '.join(_STATES)}"),),
            )
        call.limits.check(call.principal, Activity.UPLOAD)
        # What is refused is so before the file has come.
        dataset = await calls.get_dataset(dataset_pb.GetDatasetRequest(name=path["dataset"]), call.principal)
        record = await labels.images.describe(path["image_digest"], principal=call.principal)
        async with labels.uploads.take():
            folder = await call.stack.enter_async_context(labels.spool.folder())
            file = await read_raw_file(call, folder, suffix=f".{kind}", max_bytes=labels.files.max_body_bytes)
            async with call.while_connected():
                header, voxels = await labels.files.read(file, folder)
                names = {label.number: label.name for label in dataset.dataset.labels}
                labels.memory.check(3 * header.byte_count, what="the label map")
                async with labels.memory.slot(), labels.memory.memory(3 * header.byte_count):
                    masks = await asyncio.to_thread(masks_of_labels, header, voxels, record.geometry, names)
                request = dataset_pb.ImportAnnotationRequest(
                    dataset=path["dataset"],
                    image_digest=record.digest,
                    labels=[dataset_pb.LabelMask(name=name, mask=mask_to_message(mask)) for name, mask in masks],
                    state=dataset_pb.AnnotationState.Value(state),
                )
                saved = (await calls.import_annotation(request, call.principal)).annotation
        return await json_answer(saved, status=201, headers={"location": f"../../../../annotations/{saved.id}"})

    return Operation(
        "POST",
        f"{IMAGE_PATH}/mask",
        "importLabelMap",
        "Save a label map in a file as an annotation",
        take,
        Role.ANNOTATOR,
        deadlines,
        description="The file lies on the image's grid, in any order of the axes. Its numbers are those of the "
        "dataset's labels; a label without a voxel is left out, which means that nobody looked for it.",
        parameters=[
            Parameter(_FORMAT, "Kind of the file.", {"type": "string", "enum": list(_KINDS)}),
            Parameter(
                "state", "State of the annotation; SUBMITTED if it is left out.", {"type": "string", "enum": _STATES}
            ),
        ],
        body={"application/octet-stream": BINARY},
        status=201,
        answer=schema_of(dataset_pb.Annotation.DESCRIPTOR),
    )


def _reading(calls: DatasetCalls, replies: MaskReplies, deadlines: DeadlineLimits) -> list[Operation]:
    async def read(request: dataset_pb.GetAnnotationRequest, call: Call) -> list[dataset_pb.GetAnnotationResponse]:
        return [part async for part in calls.get_annotation(request, call.principal)]

    async def get(call: Call) -> Response:
        request = await read_request(call, dataset_pb.GetAnnotationRequest, path=_ANNOTATION, body=False)
        request.without_masks = True
        return await json_answer((await read(request, call))[0].annotation)

    async def get_masks(call: Call) -> Response:
        form = choose_form(call.request, _FORMS)
        request = await read_request(call, dataset_pb.GetAnnotationRequest, path=f"{_ANNOTATION}/mask", body=False)
        request.without_masks = False
        async with call.while_connected():
            first, *rest = await read(request, call)
            masks = [part.label for part in rest]
            if form == "json":
                answer: Message = dataset_pb.ImportAnnotationRequest(labels=masks)
                return await json_answer(answer, schema=_MASKS)
            numbers = {label.name: label.number for label in first.annotation.labels}
            parts = [(numbers[label.name], mask_from_message(label.mask)) for label in masks]
            return await replies.file(call, first.annotation.image_digest, parts, form=form)

    names = [name for name, _ in _FORMS]
    forms = Parameter(_FORMAT, "Form of the answer, instead of the header Accept.", {"type": "string", "enum": names})
    return [
        contract_operation(
            "GET",
            f"{DATASET_PATH}/annotations",
            "listAnnotations",
            "List annotations of a dataset, the latest first",
            dataset_pb.ListAnnotationsRequest,
            calls.list_annotations,
            Role.VIEWER,
            deadlines,
        ),
        Operation(
            "GET",
            _ANNOTATION,
            "getAnnotation",
            "Describe an annotation",
            get,
            Role.VIEWER,
            deadlines,
            short=True,
            answer=schema_of(dataset_pb.Annotation.DESCRIPTOR),
        ),
        Operation(
            "GET",
            f"{_ANNOTATION}/mask",
            "getAnnotationMasks",
            "Get the masks of an annotation, one by one, or as a label map in a file",
            get_masks,
            Role.VIEWER,
            deadlines,
            parameters=[forms],
            answer=_MASKS,
            media={media_type: BINARY for _, media_type in FILE_FORMS},
        ),
    ]
