"""``sixpoint.v1.AnnotationService``; the stream of a viewer is in interact_stream.py."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import grpc.aio

from gateway.contract import AnnotationCalls, event_to_message
from gateway.core.access import NO_AUDIT, Auditor
from gateway.core.runtime import Deadline
from gateway.core.runtime.fairness import Pace, Places
from gateway.core.segmentation.segmenter import Segmenter
from gateway.core.sessions import Engine
from gateway.grpc.identity import principal_of
from gateway.grpc.idle import IdleGuard, IdleLimit
from gateway.grpc.interceptors import CallDeadlines
from gateway.grpc.servicers.action_queue import Action
from gateway.grpc.servicers.interact_stream import InteractStream
from gateway.grpc.servicers.stream_memory import StreamMemory
from sixpoint.v1 import annotation_service_pb2 as annotation_pb
from sixpoint.v1 import annotation_service_pb2_grpc as annotation_grpc

__all__ = ["AnnotationServicer"]

_Context = grpc.aio.ServicerContext[Any, Any]


class AnnotationServicer(annotation_grpc.AnnotationServiceServicer):
    """``sixpoint.v1.AnnotationService``.

    Args:
        engine: Carries out calls on segments.
        segmenter: Segments whole images.
        stopping: Event set once the gateway stops.
        stream_memory: Memory of all streams.
        deadlines: Deadlines of each kind of call.
        idle_seconds: Seconds after which a stream without an action is closed.
        streams: Places of viewers' streams.
        auditor: Takes notes of actions that are refused.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        segmenter: Segmenter,
        stopping: asyncio.Event,
        stream_memory: StreamMemory,
        deadlines: CallDeadlines,
        idle_seconds: float,
        streams: Places,
        auditor: Auditor = NO_AUDIT,
    ) -> None:
        self._engine = engine
        self._calls = AnnotationCalls(engine)
        self._segmenter = segmenter
        self._stopping = stopping
        self._stream_memory = stream_memory
        self._deadlines = deadlines
        self._idle = IdleLimit(
            idle_seconds, setting="SIXPOINT_STREAM_IDLE_SECONDS", advice="open another stream for further actions"
        )
        self._streams = streams
        self._auditor = auditor
        self._pace = Pace()

    async def Annotate(
        self, request: annotation_pb.AnnotateRequest, context: _Context
    ) -> annotation_pb.AnnotateResponse:
        """Start or correct an object."""
        deadline = Deadline.after(self._deadlines.call.seconds(context.time_remaining()))
        return await self._calls.annotate(request, principal_of(context), deadline=deadline)

    async def Undo(self, request: annotation_pb.UndoRequest, context: _Context) -> annotation_pb.UndoResponse:
        """Undo the last step of a segment."""
        return await self._calls.undo(request, principal_of(context))

    async def Redo(self, request: annotation_pb.RedoRequest, context: _Context) -> annotation_pb.RedoResponse:
        """Redo the step that was undone last."""
        return await self._calls.redo(request, principal_of(context))

    async def Reset(self, request: annotation_pb.ResetRequest, context: _Context) -> annotation_pb.ResetResponse:
        """Undo all steps of a segment."""
        return await self._calls.reset(request, principal_of(context))

    async def GetMask(self, request: annotation_pb.GetMaskRequest, context: _Context) -> annotation_pb.GetMaskResponse:
        """Return the current mask of a segment."""
        return await self._calls.get_mask(request, principal_of(context))

    async def Interact(  # type: ignore[override]  # events are written to the context, not yielded
        self, request_iterator: AsyncIterator[Action], context: _Context
    ) -> None:
        """Carry out the actions of a viewer's stream, and report events."""
        principal, seconds = principal_of(context), self._deadlines.call.default
        async with self._streams.take():
            with self._stream_memory.share(principal.account) as memory:
                stream = InteractStream(
                    self._engine,
                    principal=principal,
                    call_seconds=seconds,
                    stopping=self._stopping,
                    memory=memory,
                    pace=self._pace,
                    auditor=self._auditor,
                )
                await stream.run(IdleGuard(self._idle).guard(request_iterator), context.write)

    async def Segment(  # type: ignore[override]  # events are written to the context, not yielded
        self, request: annotation_pb.SegmentRequest, context: _Context
    ) -> None:
        """Segment a whole image: report progress, labels, and a summary."""
        deadline = Deadline.after(self._deadlines.segmentation.seconds(context.time_remaining()))
        events = self._segmenter.segment(
            request.image_digest,
            request.model,
            principal=principal_of(context),
            labels=request.labels,
            deadline=deadline,
        )
        async with aclosing(events):
            async for event in events:
                await context.write(event_to_message(event))
