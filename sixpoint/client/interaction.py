"""The stream of a viewer: prompts are sent while others are still answered, and newer ones overtake those that wait."""

from __future__ import annotations

import asyncio
import itertools
import queue
import threading
import uuid
from types import TracebackType
from typing import Any, Self

import grpc
import grpc.aio

from sixpoint.client._driver import AsyncDriver, Driver
from sixpoint.client._operations.session import REFUSALS, BaseSession
from sixpoint.client._sansio import Plan
from sixpoint.client.events import Answered, Event, Failed, Phase, Superseded
from sixpoint.errors import FailedPrecondition, SixpointError
from sixpoint.prompts import Prompt
from sixpoint.protocol.status import error_from_status
from sixpoint.v1 import annotation_service_pb2 as annotation

__all__ = ["AsyncInteraction", "Interaction"]


class BaseInteraction:
    """What both streams are made of: actions numbered, events read, and what they say of the session remembered.

    Args:
        session: What is worked on.
    """

    def __init__(self, session: BaseSession) -> None:
        self._session = session
        self._call: Any = None
        self._open = False
        self._numbers = itertools.count(1)
        # Segments of the actions under way, by number; and those actions among them that change the session.
        self._segments: dict[int, int] = {}
        self._changes: set[int] = set()
        self._doubt = session.known.unsure

    def _show(self, prompts: tuple[Prompt, ...], segment: int) -> annotation.InteractRequest:
        return self._change("annotate", self._session.annotate_request(prompts), segment)

    def _change(self, kind: str, request: Any, segment: int) -> annotation.InteractRequest:
        known = self._session.known
        request.request_id = uuid.uuid4().hex
        # Behind another change of this stream, the revision that it will be made for is not known yet.
        if not self._changes and not self._doubt:
            request.revision = known.revision
        action = self._action(kind, request, segment)
        self._changes.add(action.id)
        known.unsure = True
        return action

    def _action(self, kind: str, request: Any, segment: int) -> annotation.InteractRequest:
        if not self._open:
            raise FailedPrecondition("the stream is not open any more; open another with session.interact()")
        request.session_id, request.segment = self._session.id, segment
        request.base_revision = self._session.known.base(segment)
        action = annotation.InteractRequest(id=next(self._numbers))
        getattr(action, kind).CopyFrom(request)
        self._segments[action.id] = segment
        return action

    def _event_plan(self, response: annotation.InteractResponse) -> Plan[Event | None]:
        """What a response tells; None for a kind of event that this client is too old to know."""
        number, kind = response.id, response.WhichOneof("event")
        if kind == "phase":
            return Phase(number, annotation.Phase.Name(response.phase).removeprefix("PHASE_").lower())
        if kind is None:
            return None
        segment, changed = self._segments.pop(number, 1), number in self._changes
        self._changes.discard(number)
        event: Event
        if kind == "answer":
            if changed:
                self._session.known.learn(response.answer, segment=segment)
                self._doubt = False
            try:
                mask = yield from self._session.answer_plan(response.answer, segment)
                event = Answered(number, segment, mask)
            except SixpointError as error:
                event = Failed(number, error)
        elif kind == "failure":
            failure = error_from_status(response.failure)
            self._doubt = self._doubt or (changed and not isinstance(failure, REFUSALS))
            event = Failed(number, failure)
        else:
            event = Superseded(number, response.superseded_by)
        self._session.known.unsure = bool(self._changes) or self._doubt
        return event


class Interaction(BaseInteraction):
    """A stream of prompts and answers, for viewers: made by :meth:`Session.interact`.

    Actions are carried out in their order; each has a number, which its events bear. While one is carried out, prompts
    for one segment that wait behind it become one step: clicks join, what begins an object replaces what waited.
    Nothing is repeated when the connection breaks: iteration raises, and the session is looked at anew before its next
    change. An image that the gateway lost is brought again by the session's single calls, not by a stream. Leaving the
    block cancels what is under way. Any number of threads, or tasks, may send while one iterates.

    Example::

        with session.interact() as stream:
            stream.send(sixpoint.ExtremePoints(points))
            stream.send(sixpoint.Click((52, 60, 10), positive=False))
            stream.end()
            for event in stream:
                match event:
                    case sixpoint.Answered(mask=mask):
                        show(mask.array)
                    case sixpoint.Failed(error=error):
                        say(error.message)
    """

    def __init__(self, session: BaseSession, driver: Driver) -> None:
        super().__init__(session)
        self._driver = driver
        self._requests: queue.SimpleQueue[annotation.InteractRequest | None] = queue.SimpleQueue()
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._call = self._driver.stream(iter(self._requests.get, None))
        self._open = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
        call, self._call = self._call, None
        if call is not None:
            call.cancel()

    def send(self, *prompts: Prompt, segment: int = 1) -> int:
        """Show something: what :meth:`Session.annotate` takes. The action's number; iteration tells what becomes of it.

        Raises:
            FailedPrecondition: When the stream has ended.
            PromptError: When a mask to correct lies on another grid than the image.
        """
        with self._lock:
            return self._put(self._show(prompts, segment))

    def undo(self, *, segment: int = 1) -> int:
        """Take back the last step of a segment; the action's number."""
        with self._lock:
            return self._put(self._change("undo", annotation.UndoRequest(), segment))

    def redo(self, *, segment: int = 1) -> int:
        """Take the next step of a segment again; the action's number."""
        with self._lock:
            return self._put(self._change("redo", annotation.RedoRequest(), segment))

    def reset(self, *, segment: int = 1) -> int:
        """Take back all steps of a segment; the action's number."""
        with self._lock:
            return self._put(self._change("reset", annotation.ResetRequest(), segment))

    def mask(self, *, segment: int = 1) -> int:
        """Ask for the mask of a segment as it stands; the action's number."""
        with self._lock:
            return self._put(self._action("get_mask", annotation.GetMaskRequest(), segment))

    def end(self) -> None:
        """Say that no more will be sent: iteration ends after the last event."""
        with self._lock:
            self._open = False
            self._requests.put(None)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        while self._call is not None:
            try:
                response = next(self._call)
            except grpc.RpcError as failure:
                if self._call is None:
                    break
                self._open = False
                raise self._driver.explain(failure) from failure
            with self._lock:
                event = self._driver.run(self._event_plan(response))
            if event is not None:
                return event
        raise StopIteration

    def _put(self, action: annotation.InteractRequest) -> int:
        self._requests.put(action)
        return action.id


class AsyncInteraction(BaseInteraction):
    """:class:`Interaction` for asyncio: the same names, awaited; made by :meth:`AsyncSession.interact`."""

    def __init__(self, session: BaseSession, driver: AsyncDriver) -> None:
        super().__init__(session)
        self._driver = driver
        self._reading: asyncio.Future[Any] | None = None
        # gRPC takes one message at a time; and they go out in the order of their numbers.
        self._lock = asyncio.Lock()

    async def __aenter__(self) -> Self:
        self._call = self._driver.stream()
        self._open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open = False
        call, self._call = self._call, None
        if call is not None:
            call.cancel()

    async def send(self, *prompts: Prompt, segment: int = 1) -> int:
        """As :meth:`Interaction.send`."""
        async with self._lock:
            return await self._put(self._show(prompts, segment))

    async def undo(self, *, segment: int = 1) -> int:
        """As :meth:`Interaction.undo`."""
        async with self._lock:
            return await self._put(self._change("undo", annotation.UndoRequest(), segment))

    async def redo(self, *, segment: int = 1) -> int:
        """As :meth:`Interaction.redo`."""
        async with self._lock:
            return await self._put(self._change("redo", annotation.RedoRequest(), segment))

    async def reset(self, *, segment: int = 1) -> int:
        """As :meth:`Interaction.reset`."""
        async with self._lock:
            return await self._put(self._change("reset", annotation.ResetRequest(), segment))

    async def mask(self, *, segment: int = 1) -> int:
        """As :meth:`Interaction.mask`."""
        async with self._lock:
            return await self._put(self._action("get_mask", annotation.GetMaskRequest(), segment))

    async def end(self) -> None:
        """As :meth:`Interaction.end`."""
        async with self._lock:
            if self._open:
                self._open = False
                await self._call.done_writing()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while self._call is not None:
            response = await self._next()
            if response is grpc.aio.EOF:
                break
            event = await self._driver.run(self._event_plan(response))
            if event is not None:
                return event
        raise StopAsyncIteration

    async def _next(self) -> Any:
        # gRPC cancels a stream whose reader is cancelled: whoever waits for an event for a while only would lose it.
        self._reading = self._reading or asyncio.ensure_future(self._call.read())
        try:
            response = await asyncio.shield(self._reading)
        except grpc.RpcError as failure:
            self._open = False
            raise self._driver.explain(failure) from failure
        except asyncio.CancelledError:
            if self._call is None and self._reading.cancelled():
                return grpc.aio.EOF
            raise
        self._reading = None
        return response

    async def _put(self, action: annotation.InteractRequest) -> int:
        try:
            await self._call.write(action)
        except grpc.RpcError as failure:
            self._open = False
            raise self._driver.explain(failure) from failure
        except asyncio.InvalidStateError:
            self._open = False
            raise FailedPrecondition("the stream has ended; iteration says why") from None
        return action.id
