"""The stream of a viewer: carry out actions in order, join prompts that wait, and report events as they happen.

Three tasks share the work. The reader puts actions into a queue of limited length and bytes; when it is full, or large
ones come too fast, gRPC's flow control makes the viewer wait. An action for which all streams together have no memory
is refused. The worker takes the next action from the queue, with the prompts that wait behind it, and carries them out.
The writer sends events; while the viewer reads too slowly, stages are left out, and the worker waits, as it does while
large answers are not read.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial

from gateway.contract import PHASES, read_change, read_mask_request, read_prompts, write_result
from gateway.core.access import NO_AUDIT, Auditor, Principal, note_refusal
from gateway.core.runtime import Deadline, Stage
from gateway.core.runtime.fairness import Pace, refusal_pause
from gateway.core.runtime.phases import action as traced_action
from gateway.core.sessions import AnnotationResult, Engine, check_request_id
from gateway.grpc.servicers.action_queue import Action, ActionQueue, join_prompts
from gateway.grpc.servicers.stream_memory import StreamShare
from sixpoint.errors import DeadlineExceeded, FailedPrecondition, InvalidArgument, SixpointError, Unavailable, Violation
from sixpoint.protocol import error_to_status, status_code
from sixpoint.v1 import annotation_service_pb2 as annotation_pb

__all__ = ["InteractStream"]

_log = logging.getLogger(__name__)

_MAX_WAITING = 64
_MAX_EVENTS = 64
# While so many bytes of answers wait to be read, no further action is carried out.
_MAX_UNREAD_BYTES = 2**20

_Write = Callable[[annotation_pb.InteractResponse], Awaitable[None]]


class InteractStream:
    """One stream of a viewer.

    Args:
        engine: Carries out the actions.
        principal: Who works in the viewer.
        call_seconds: Deadline of each action.
        stopping: Event set once the gateway stops: the stream carries out what has arrived, and ends.
        memory: Part of the memory of all streams.
        pace: Pace of reading, which all streams share.
        auditor: Takes notes of actions that are refused.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        principal: Principal,
        call_seconds: float,
        stopping: asyncio.Event,
        memory: StreamShare,
        pace: Pace,
        auditor: Auditor = NO_AUDIT,
    ) -> None:
        self._engine = engine
        self._principal = principal
        self._stopping = stopping
        self._call_seconds = call_seconds
        self._actions = ActionQueue(_MAX_WAITING)
        self._memory = memory
        self._pace = pace
        self._auditor = auditor
        # Each with the bytes that it has reserved.
        self._events: asyncio.Queue[tuple[annotation_pb.InteractResponse, int] | None] = asyncio.Queue(_MAX_EVENTS)
        self._unread = 0
        self._read_enough = asyncio.Event()
        self._read_enough.set()
        self._session_id = ""

    async def run(self, requests: AsyncIterator[Action], write: _Write) -> None:
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

    async def _read(self, requests: AsyncIterator[Action]) -> bool:
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

    async def _read_all(self, requests: AsyncIterator[Action]) -> None:
        await _hold_up(self._pace.opened())
        async for action in requests:
            nbytes, receiving = action.nbytes, self._receive(action)
            # A message has up to 8 MiB: nobody holds it while the next one is awaited.
            del action
            await receiving
            await _hold_up(self._pace.count(nbytes))

    async def _receive(self, action: Action) -> None:
        try:
            self._memory.reserve(action.nbytes)
        except SixpointError as error:
            await self._fail(action.content.id, error)
        else:
            await self._actions.put(action)

    async def _work(self) -> None:
        while group := await self._actions.take():
            await self._read_enough.wait()
            await self._carry_out_all(group)
            while group:
                self._memory.release(group.pop().nbytes)
        await self._events.put(None)

    async def _write(self, write: _Write) -> None:
        while (waiting := await self._events.get()) is not None:
            event, nbytes = waiting
            await write(event)
            self._count_unread(-nbytes)

    async def _carry_out_all(self, group: Sequence[Action]) -> None:
        """Carry out joined prompts as one step; if one of them is invalid, carry them out one by one."""
        if len(group) > 1:
            try:
                ids = [action.content.annotate.request_id for action in group]
                joined, prompts = join_prompts(group)
                result = await self._carry_out(joined, prompts, ids=ids)
            except (InvalidArgument, FailedPrecondition):
                pass
            except SixpointError as error:
                for action in group:
                    await self._fail(action.content.id, error)
                return
            else:
                last = group[-1].content.id
                for action in group[:-1]:
                    await self._send(annotation_pb.InteractResponse(id=action.content.id, superseded_by=last))
                await self._answer(last, result)
                return
        for action in group:
            request = action.content
            try:
                result = await self._carry_out(request, request.annotate.prompts)
            except SixpointError as error:
                await self._fail(request.id, error)
            else:
                await self._answer(request.id, result)

    async def _carry_out(
        self, action: annotation_pb.InteractRequest, prompts: Sequence[annotation_pb.Prompt], *, ids: Sequence[str] = ()
    ) -> AnnotationResult:
        started, reason = time.perf_counter(), ""
        kind = action.WhichOneof("action")
        try:
            async with asyncio.timeout(self._call_seconds):
                with traced_action(kind or "unknown"):
                    return await self._dispatch(action, kind or "", prompts, ids)
        except SixpointError as error:
            reason = error.reason
            note_refusal(self._auditor, self._principal, "Interact", error)
            raise
        except TimeoutError:
            raise DeadlineExceeded("the action took longer than the gateway allows (SIXPOINT_CALL_SECONDS)") from None
        finally:
            seconds = round(time.perf_counter() - started, 4)
            _log.info("action", extra={"action": kind, "reason": reason, "seconds": seconds})

    async def _dispatch(
        self,
        action: annotation_pb.InteractRequest,
        kind: str,
        prompts: Sequence[annotation_pb.Prompt],
        ids: Sequence[str],
    ) -> AnnotationResult:
        if not kind:
            raise InvalidArgument(
                "unknown kind of action; expected annotate, undo, redo, reset or get_mask",
                violations=(Violation("action", "annotate, undo, redo, reset or get_mask"),),
            )
        request = getattr(action, kind)
        self._check_session(request.session_id)
        match kind:
            case "annotate":
                change = read_change(request, self._principal)
                if ids:
                    for request_id in ids:
                        check_request_id(request_id)
                    change = replace(change, request_ids=tuple(ids))
                return await self._engine.annotate(
                    change,
                    read_prompts(prompts),
                    deadline=Deadline.after(self._call_seconds),
                    on_stage=partial(self._report_stage, action.id),
                )
            case "undo":
                return await self._engine.undo(read_change(request, self._principal))
            case "redo":
                return await self._engine.redo(read_change(request, self._principal))
            case "reset":
                return await self._engine.reset(read_change(request, self._principal))
            case _:
                return await self._engine.mask(read_mask_request(request, self._principal))

    def _check_session(self, session_id: str) -> None:
        self._session_id = self._session_id or session_id
        if session_id != self._session_id:
            raise InvalidArgument(
                "all actions of a stream must be on one session; open another stream for another session",
                violations=(Violation("session_id", "that of the stream's first action"),),
            )

    def _report_stage(self, number: int, stage: Stage) -> None:
        if not self._events.full():
            self._events.put_nowait((annotation_pb.InteractResponse(id=number, phase=PHASES[stage]), 0))

    async def _fail(self, number: int, error: SixpointError) -> None:
        status = error_to_status(error).SerializeToString()
        _log.info("action failed", extra={"code": status_code(error).name, "reason": error.reason})
        await self._send(annotation_pb.InteractResponse(id=number, failure=status))
        await asyncio.sleep(refusal_pause(error))

    async def _answer(self, number: int, result: AnnotationResult) -> None:
        size = len(result.mask.bits)
        try:
            self._memory.reserve(size)
        except SixpointError as error:
            await self._fail(number, error)
        else:
            self._count_unread(size)
            event = annotation_pb.InteractResponse(id=number)
            write_result(result, event.answer)
            await self._send(event, nbytes=size)

    async def _send(self, event: annotation_pb.InteractResponse, *, nbytes: int = 0) -> None:
        await self._events.put((event, nbytes))

    def _count_unread(self, nbytes: int) -> None:
        """Count bytes of answers that wait to be read; below 0 for what was read."""
        self._unread += nbytes
        if nbytes < 0:
            self._memory.release(-nbytes)
        if self._unread > _MAX_UNREAD_BYTES:
            self._read_enough.clear()
        else:
            self._read_enough.set()


async def _hold_up(seconds: float) -> None:
    # Not for 0 s either: actions that have arrived together are joined.
    if seconds:
        await asyncio.sleep(seconds)
