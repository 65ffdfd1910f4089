"""The stream of a viewer: carry out actions in order, join prompts that wait, and report events as they happen.

Three tasks share the work. The reader puts actions into a queue of limited length; when it is full, gRPC's flow control
makes the viewer wait. The worker takes the next action from the queue, with the prompts that wait behind it, and
carries them out. The writer sends events; while the viewer reads too slowly, stages are left out, and the worker waits.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial

from gateway.core.runtime import Deadline, Stage
from gateway.core.sessions import AnnotationResult, Engine, check_request_id
from gateway.grpc.messages import PHASES, read_change, read_mask_request, read_prompts, result_to_message
from sixpoint.errors import DeadlineExceeded, FailedPrecondition, InvalidArgument, SixpointError, Unavailable, Violation
from sixpoint.protocol import error_to_status, status_code
from sixpoint.v1 import annotation_service_pb2 as annotation_pb

__all__ = ["InteractStream", "join_prompts"]

_log = logging.getLogger(__name__)

_MAX_WAITING = 64
# Two of the largest messages; joining what waits copies it.
_MAX_WAITING_BYTES = 16 * 2**20
_MAX_EVENTS = 64

_Write = Callable[[annotation_pb.InteractResponse], Awaitable[None]]
_Actions = list[annotation_pb.InteractRequest]


class ActionQueue:
    """Actions that wait to be carried out, in order.

    Args:
        max_waiting: Number of actions that may wait; :meth:`put` blocks beyond that.
        max_bytes: Bytes of the actions that may wait, but for a single larger one.
    """

    def __init__(self, max_waiting: int, *, max_bytes: int = _MAX_WAITING_BYTES) -> None:
        self._max_waiting = max_waiting
        self._max_bytes = max_bytes
        self._bytes = 0
        self._waiting: deque[annotation_pb.InteractRequest] = deque()
        self._ended = False
        self._changed = asyncio.Condition()

    async def put(self, action: annotation_pb.InteractRequest) -> None:
        """Add an action; wait while the queue is full."""
        size = action.ByteSize()
        async with self._changed:
            await self._changed.wait_for(lambda: not self._waiting or self._has_room(size))
            self._waiting.append(action)
            self._bytes += size
            self._changed.notify_all()

    def _has_room(self, size: int) -> bool:
        return len(self._waiting) < self._max_waiting and self._bytes + size <= self._max_bytes

    async def end(self) -> None:
        """Mark the end: no more actions will be added."""
        async with self._changed:
            self._ended = True
            self._changed.notify_all()

    async def take(self) -> _Actions:
        """Take the next action, with the prompts right behind it that can join it; empty after the last action."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._waiting or self._ended)
            group: _Actions = []
            while self._waiting and (not group or _can_join(group, self._waiting[0])):
                group.append(self._waiting.popleft())
                self._bytes -= group[-1].ByteSize()
            self._changed.notify_all()
            return group


class InteractStream:
    """One stream of a viewer.

    Args:
        engine: Carries out the actions.
        call_seconds: Deadline of each action.
        stopping: Event set once the gateway stops: the stream carries out what has arrived, and ends.
    """

    def __init__(self, engine: Engine, *, call_seconds: float, stopping: asyncio.Event) -> None:
        self._engine = engine
        self._stopping = stopping
        self._call_seconds = call_seconds
        self._actions = ActionQueue(_MAX_WAITING)
        self._events: asyncio.Queue[annotation_pb.InteractResponse | None] = asyncio.Queue(_MAX_EVENTS)
        self._session_id = ""

    async def run(self, requests: AsyncIterator[annotation_pb.InteractRequest], write: _Write) -> None:
        """Carry out all actions of a stream; cancelling this also cancels the action in progress.

        Raises:
            Unavailable: When the gateway stops before the viewer ends the stream.
        """
        async with asyncio.TaskGroup() as tasks:
            reading = tasks.create_task(self._read(requests))
            tasks.create_task(self._work())
            tasks.create_task(self._write(write))
        if not reading.result():
            raise Unavailable("the gateway stops; open another stream, which another gateway or its successor takes")

    async def _read(self, requests: AsyncIterator[annotation_pb.InteractRequest]) -> bool:
        """Read actions until the viewer ends the stream, or the gateway stops; return whether the viewer ended it."""
        reading = asyncio.ensure_future(self._read_all(requests))
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({reading, stopping}, return_when=asyncio.FIRST_COMPLETED)
            ended = reading.done()
            if ended:
                reading.result()
        finally:
            reading.cancel()
            stopping.cancel()
        await self._actions.end()
        return ended

    async def _read_all(self, requests: AsyncIterator[annotation_pb.InteractRequest]) -> None:
        async for request in requests:
            await self._actions.put(request)

    async def _work(self) -> None:
        while group := await self._actions.take():
            await self._carry_out_all(group)
        await self._events.put(None)

    async def _write(self, write: _Write) -> None:
        while (event := await self._events.get()) is not None:
            await write(event)

    async def _carry_out_all(self, group: _Actions) -> None:
        """Carry out joined prompts as one step; if one of them is invalid, carry them out one by one."""
        if len(group) > 1:
            try:
                ids = [action.annotate.request_id for action in group]
                result = await self._carry_out(join_prompts(group), ids=ids)
            except (InvalidArgument, FailedPrecondition):
                pass
            except SixpointError as error:
                for action in group:
                    await self._fail(action.id, error)
                return
            else:
                last = group[-1].id
                for action in group[:-1]:
                    await self._events.put(annotation_pb.InteractResponse(id=action.id, superseded_by=last))
                await self._events.put(annotation_pb.InteractResponse(id=last, answer=result_to_message(result)))
                return
        for action in group:
            try:
                result = await self._carry_out(action)
            except SixpointError as error:
                await self._fail(action.id, error)
            else:
                await self._events.put(annotation_pb.InteractResponse(id=action.id, answer=result_to_message(result)))

    async def _carry_out(self, action: annotation_pb.InteractRequest, *, ids: Sequence[str] = ()) -> AnnotationResult:
        started, reason = time.perf_counter(), ""
        kind = action.WhichOneof("action")
        try:
            async with asyncio.timeout(self._call_seconds):
                return await self._dispatch(action, kind or "", ids)
        except SixpointError as error:
            reason = error.reason
            raise
        except TimeoutError:
            raise DeadlineExceeded("the action took longer than the gateway allows (SIXPOINT_CALL_SECONDS)") from None
        finally:
            seconds = round(time.perf_counter() - started, 4)
            _log.info("action", extra={"action": kind, "reason": reason, "seconds": seconds})

    async def _dispatch(self, action: annotation_pb.InteractRequest, kind: str, ids: Sequence[str]) -> AnnotationResult:
        if not kind:
            raise InvalidArgument(
                "unknown kind of action; expected annotate, undo, redo, reset or get_mask",
                violations=(Violation("action", "annotate, undo, redo, reset or get_mask"),),
            )
        request = getattr(action, kind)
        self._check_session(request.session_id)
        match kind:
            case "annotate":
                change = read_change(request)
                if ids:
                    for request_id in ids:
                        check_request_id(request_id)
                    change = replace(change, request_ids=tuple(ids))
                return await self._engine.annotate(
                    change,
                    read_prompts(request),
                    deadline=Deadline.after(self._call_seconds),
                    on_stage=partial(self._report_stage, action.id),
                )
            case "undo":
                return await self._engine.undo(read_change(request))
            case "redo":
                return await self._engine.redo(read_change(request))
            case "reset":
                return await self._engine.reset(read_change(request))
            case _:
                return await self._engine.mask(read_mask_request(request))

    def _check_session(self, session_id: str) -> None:
        self._session_id = self._session_id or session_id
        if session_id != self._session_id:
            raise InvalidArgument(
                "all actions of a stream must be on one session; open another stream for another session",
                violations=(Violation("session_id", "that of the stream's first action"),),
            )

    def _report_stage(self, number: int, stage: Stage) -> None:
        if not self._events.full():
            self._events.put_nowait(annotation_pb.InteractResponse(id=number, phase=PHASES[stage]))

    async def _fail(self, number: int, error: SixpointError) -> None:
        status = error_to_status(error).SerializeToString()
        _log.info("action failed", extra={"code": status_code(error).name, "reason": error.reason})
        await self._events.put(annotation_pb.InteractResponse(id=number, failure=status))


def join_prompts(group: _Actions) -> annotation_pb.InteractRequest:
    """Join prompts that waited together into one action: a prompt that starts an object replaces those before it.

    The action has the id of the last one, and the revision of the first one.
    """
    first, last = group[0].annotate, group[-1].annotate
    joined = annotation_pb.InteractRequest(id=group[-1].id)
    joined.annotate.CopyFrom(last)
    if first.HasField("revision"):
        joined.annotate.revision = first.revision
    prompts: list[annotation_pb.Prompt] = []
    for action in group:
        if any(prompt.WhichOneof("kind") != "click" for prompt in action.annotate.prompts):
            prompts = []
        prompts += action.annotate.prompts
    del joined.annotate.prompts[:]
    joined.annotate.prompts.extend(prompts)
    return joined


def _can_join(group: _Actions, following: annotation_pb.InteractRequest) -> bool:
    """Whether a following action has prompts for the same segment as the group, and repeats none of its calls."""
    if group[0].WhichOneof("action") != "annotate" or following.WhichOneof("action") != "annotate":
        return False
    a, b = group[0].annotate, following.annotate
    if b.request_id and b.request_id in {action.annotate.request_id for action in group}:
        return False
    return (a.session_id, a.segment or 1) == (b.session_id, b.segment or 1)
