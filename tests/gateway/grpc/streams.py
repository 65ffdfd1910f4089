"""A viewer's stream without a connection."""

from __future__ import annotations

import asyncio

from gateway.core.access import NO_AUDIT, Auditor
from gateway.core.runtime.fairness import Pace
from gateway.grpc.messages.decoding import Received
from gateway.grpc.servicers.action_queue import Action
from gateway.grpc.servicers.interact_stream import InteractStream
from gateway.grpc.servicers.stream_memory import StreamShare
from sixpoint.v1 import annotation_service_pb2 as annotation_pb
from tests.gateway.core.sessions.engine.process import Process
from tests.support.callers import NOBODY


def arrived(action: annotation_pb.InteractRequest) -> Action:
    """An action as it comes from the wire."""
    return Received(action, action.ByteSize())


def stream_of(
    process: Process,
    memory: StreamShare,
    *,
    stopping: asyncio.Event | None = None,
    pace: Pace | None = None,
    auditor: Auditor = NO_AUDIT,
) -> InteractStream:
    """A stream whose actions a process carries out."""
    return InteractStream(
        process.engine,
        principal=NOBODY,
        call_seconds=30,
        stopping=stopping or asyncio.Event(),
        memory=memory,
        pace=pace or Pace(),
        auditor=auditor,
    )
