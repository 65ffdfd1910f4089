"""Segment a whole image: events while it runs (server-sent events), or the labels as a file."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, MutableMapping
from contextlib import aclosing
from typing import Any

from fastapi import Response
from fastapi.sse import format_sse_event

from gateway.contract import event_to_message
from gateway.core.access import Activity, Role
from gateway.core.images import ImageStore
from gateway.core.runtime import DeadlineLimits
from gateway.core.segmentation.events import LabelMask, SegmentationEvent
from gateway.core.segmentation.segmenter import Segmenter
from gateway.http.calls import Call
from gateway.http.errors import as_refusal
from gateway.http.rest.examples import SEGMENTATION
from gateway.http.rest.masks import FILE_FORMS, MaskReplies
from gateway.http.rest.messages import NO_STORE, read_request
from gateway.http.rest.operations import BINARY, Operation, Parameter
from gateway.http.rest.preconditions import choose_form
from gateway.http.rest.problems import problem_content
from gateway.http.rest.schemas import dump
from sixpoint.v1 import annotation_service_pb2 as annotation_pb

__all__ = ["segmentation_operations"]

_PATH = "/segmentations"
_EVENTS = "text/event-stream"
_FORMS = (("events", _EVENTS), *FILE_FORMS)
# Proxies cut connections that are silent for a minute or so.
_BEAT_SECONDS = 15.0
_BEAT = b": still running\n\n"


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
            return _EventReply(call, first, events)
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
            media={_EVENTS: {"type": "string"}, **{media_type: BINARY for _, media_type in FILE_FORMS}},
            example=SEGMENTATION,
        )
    ]


class _EventReply(Response):
    """The events of a segmentation, as they happen."""

    media_type = _EVENTS

    def __init__(self, call: Call, first: SegmentationEvent, events: AsyncIterator[SegmentationEvent]) -> None:
        super().__init__(headers={**NO_STORE, "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._call = call
        self._first = first
        self._events = events
        self._turn = asyncio.Lock()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        """Send the events."""
        del scope, receive
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        beating = asyncio.create_task(self._beat(send))
        try:
            async with self._call.while_connected():
                await self._write(send, await _event(self._first))
                async for event in self._events:
                    await self._write(send, await _event(event))
        except Exception as failure:
            refusal = as_refusal(failure)
            await self._write(send, format_sse_event(data_str=json.dumps(problem_content(refusal)), event="problem"))
            await send({"type": "http.response.body", "body": b""})
            raise refusal from failure
        finally:
            beating.cancel()
        await send({"type": "http.response.body", "body": b""})

    async def _beat(self, send: Any) -> None:
        with contextlib.suppress(Exception):
            while True:
                await asyncio.sleep(_BEAT_SECONDS)
                await self._write(send, _BEAT)

    async def _write(self, send: Any, content: bytes) -> None:
        async with self._turn:
            await send({"type": "http.response.body", "body": content, "more_body": True})


async def _event(event: SegmentationEvent) -> bytes:
    response = event_to_message(event)
    kind = response.WhichOneof("event") or ""
    message = getattr(response, kind)
    content = await asyncio.to_thread(dump, message) if kind == "label" else dump(message)
    return format_sse_event(data_str=content.decode(), event=kind)
