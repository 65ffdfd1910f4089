"""Segment a whole image: events while it runs (server-sent events), or the labels as a file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

from fastapi import Response
from fastapi.sse import format_sse_event

from gateway.contract import event_to_message
from gateway.core.access import Activity, Role
from gateway.core.images import ImageStore
from gateway.core.runtime import DeadlineLimits
from gateway.core.segmentation.events import LabelMask, SegmentationEvent
from gateway.core.segmentation.segmenter import Segmenter
from gateway.http.calls import Call
from gateway.http.rest.event_stream import EVENT_STREAM, EventReply
from gateway.http.rest.examples import SEGMENTATION
from gateway.http.rest.masks import FILE_FORMS, MaskReplies
from gateway.http.rest.messages import read_request
from gateway.http.rest.operations import BINARY, Operation, Parameter
from gateway.http.rest.preconditions import choose_form
from gateway.http.rest.schemas import dump, schema_of
from sixpoint.v1 import annotation_service_pb2 as annotation_pb

__all__ = ["segmentation_operations"]

_PATH = "/segmentations"
_FORMS = (("events", EVENT_STREAM), *FILE_FORMS)


def segmentation_operations(
    segmenter: Segmenter, images: ImageStore, replies: MaskReplies, deadlines: DeadlineLimits
) -> list[Operation]:
    """The operations on whole images.

    Args:
        segmenter: Segments whole images.
        images: All images.
        replies: Answers with files.
        deadlines: Deadline of segmentations.
    """

    async def segment(call: Call) -> Response:
        form = choose_form(call.request, _FORMS)
        request = await read_request(call, annotation_pb.SegmentRequest, path=_PATH, body=True)
        call.limits.check(call.principal, Activity.SEGMENTATION)
        events = segmenter.segment(
            request.image_digest,
            request.model,
            principal=call.principal,
            labels=request.labels,
            deadline=call.deadline,
        )
        # What is refused is so before the answer begins.
        await images.describe(request.image_digest, principal=call.principal)
        if form == "events":
            await call.stack.enter_async_context(aclosing(events))
            async with call.while_connected():
                first = await anext(events)
            return EventReply(call, _events(first, events))
        async with call.while_connected(), aclosing(events):
            parts = [(event.number, event.mask) async for event in events if isinstance(event, LabelMask)]
            return await replies.file(call, request.image_digest, parts, form=form)

    return [
        Operation(
            "POST",
            _PATH,
            "segment",
            "Segment a whole image, without prompts",
            segment,
            Role.ANNOTATOR,
            deadlines,
            description="By default the answer is a stream of server-sent events: progress (a SegmentProgress), label "
            "(a SegmentLabel), at last summary (a SegmentSummary), or problem if it fails on the way. The work stops "
            "when the connection is closed. Other forms are one label map in a file.",
            message=annotation_pb.SegmentRequest,
            in_body=True,
            parameters=[
                Parameter(
                    "format",
                    "Form of the answer, instead of the header Accept.",
                    {"type": "string", "enum": [name for name, _ in _FORMS]},
                )
            ],
            media={media_type: BINARY for _, media_type in FILE_FORMS},
            events={
                field.name: schema_of(field.message_type) for field in annotation_pb.SegmentResponse.DESCRIPTOR.fields
            },
            example=SEGMENTATION,
        )
    ]


async def _events(first: SegmentationEvent, others: AsyncIterator[SegmentationEvent]) -> AsyncIterator[bytes]:
    yield await _event(first)
    async for event in others:
        yield await _event(event)


async def _event(event: SegmentationEvent) -> bytes:
    response = event_to_message(event)
    kind = response.WhichOneof("event") or ""
    message = getattr(response, kind)
    content = await asyncio.to_thread(dump, message) if kind == "label" else dump(message)
    return format_sse_event(data_str=content.decode(), event=kind)
