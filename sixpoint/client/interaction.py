"""Streams for viewers: prompts are sent while earlier ones are still being answered."""

from __future__ import annotations

import asyncio
import queue
import threading
from types import TracebackType
from typing import Any, Self

import grpc
import grpc.aio

from sixpoint.client._operations.interaction import InteractionOperations
from sixpoint.client._operations.session import SessionOperations
from sixpoint.client._transport.driver import AsyncDriver, Driver
from sixpoint.client.events import Event
from sixpoint.errors import FailedPrecondition
from sixpoint.prompts import Prompt
from sixpoint.v1 import annotation_service_pb2 as annotation_pb

__all__ = ["AsyncInteraction", "Interaction"]


class Interaction:
    """A stream of actions and their events, for viewers. :meth:`Session.interact` creates it.

    The gateway carries actions out in order. Each action has a number, which its events carry. While one is carried
    out, prompts for the same segment that wait behind it become one step: clicks are joined, and a prompt that begins
    an object replaces those before it.

    Nothing is repeated when the connection breaks: iteration raises an error, and the session asks for its present
    state before its next change. A stream does not upload an image that the gateway has lost; the session's other
    methods do. When the ``with`` block ends, actions without an answer are cancelled. Any number of threads may send
    while one iterates.

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
                        report(error.message)
    """

    def __init__(self, driver: Driver, session: SessionOperations) -> None:
        self._driver = driver
        self._operations = InteractionOperations(session)
        self._call: grpc._CallIterator[annotation_pb.InteractResponse] | None = None
        self._requests: queue.SimpleQueue[annotation_pb.InteractRequest | None] = queue.SimpleQueue()
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._call = self._driver.interact(iter(self._requests.get, None))
        self._operations.is_open = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
        call, self._call = self._call, None
        if call is not None:
            call.cancel()

    def send(self, *prompts: Prompt, segment: int = 1) -> int:
        """Send prompts for a segment, and return the action's number.

        Args:
            prompts: One prompt or more, as for :meth:`Session.annotate`.
            segment: Number of the segment, 1 to 255.

        Raises:
            FailedPrecondition: The stream has ended.
            PromptError: It is no prompt, or a mask to correct lies on another grid than the image.
        """
        with self._lock:
            return self._put(self._operations.annotate(prompts, segment))

    def undo(self, *, segment: int = 1) -> int:
        """Undo the last step of a segment, and return the action's number.

        Raises:
            FailedPrecondition: The stream has ended.
        """
        with self._lock:
            return self._put(self._operations.undo(segment))

    def redo(self, *, segment: int = 1) -> int:
        """Redo the next step of a segment, and return the action's number.

        Raises:
            FailedPrecondition: The stream has ended.
        """
        with self._lock:
            return self._put(self._operations.redo(segment))

    def reset(self, *, segment: int = 1) -> int:
        """Undo all steps of a segment, and return the action's number.

        Raises:
            FailedPrecondition: The stream has ended.
        """
        with self._lock:
            return self._put(self._operations.reset(segment))

    def mask(self, *, segment: int = 1) -> int:
        """Ask for the present mask of a segment, and return the action's number.

        Raises:
            FailedPrecondition: The stream has ended.
        """
        with self._lock:
            return self._put(self._operations.mask(segment))

    def end(self) -> None:
        """Announce that no more actions follow: iteration stops after the last event."""
        with self._lock:
            self._operations.is_open = False
            self._requests.put(None)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        while self._call is not None:
            try:
                response = next(self._call)
            except grpc.RpcError as failure:
                if self._call is None:
                    # Another thread has left the `with` block, which cancels the call.
                    break
                self._operations.is_open = False
                raise self._driver.explain(failure) from failure
            with self._lock:
                event = self._driver.run(self._operations.read(response))
            if event is not None:
                return event
        raise StopIteration

    def _put(self, action: annotation_pb.InteractRequest) -> int:
        self._requests.put(action)
        return action.id


class AsyncInteraction:
    """A stream of actions and their events, for viewers with asyncio. :meth:`AsyncSession.interact` creates it.

    The gateway carries actions out in order. Each action has a number, which its events carry. While one is carried
    out, prompts for the same segment that wait behind it become one step: clicks are joined, and a prompt that begins
    an object replaces those before it.

    Nothing is repeated when the connection breaks: iteration raises an error, and the session asks for its present
    state before its next change. A stream does not upload an image that the gateway has lost; the session's other
    methods do. When the ``async with`` block ends, actions without an answer are cancelled. Any number of tasks may
    send while one iterates.

    Example::

        async with session.interact() as stream:
            await stream.send(sixpoint.ExtremePoints(points))
            await stream.send(sixpoint.Click((52, 60, 10), positive=False))
            await stream.end()
            async for event in stream:
                match event:
                    case sixpoint.Answered(mask=mask):
                        show(mask.array)
                    case sixpoint.Failed(error=error):
                        report(error.message)
    """

    def __init__(self, driver: AsyncDriver, session: SessionOperations) -> None:
        self._driver = driver
        self._operations = InteractionOperations(session)
        self._call: grpc.aio.StreamStreamCall[annotation_pb.InteractRequest, annotation_pb.InteractResponse] | None = (
            None
        )
        self._reading: asyncio.Future[Any] | None = None
        # gRPC accepts one message at a time, and actions must be sent in the order of their numbers.
        self._lock = asyncio.Lock()

    async def __aenter__(self) -> Self:
        self._call = await self._driver.interact()
        self._operations.is_open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._operations.is_open = False
        call, self._call = self._call, None
        if call is not None:
            call.cancel()

    async def send(self, *prompts: Prompt, segment: int = 1) -> int:
        """Send prompts for a segment, and return the action's number.

        Args:
            prompts: One prompt or more, as for :meth:`AsyncSession.annotate`.
            segment: Number of the segment, 1 to 255.

        Raises:
            FailedPrecondition: The stream has ended.
            PromptError: It is no prompt, or a mask to correct lies on another grid than the image.
        """
        async with self._lock:
            return await self._put(self._operations.annotate(prompts, segment))

    async def undo(self, *, segment: int = 1) -> int:
        """Undo the last step of a segment, and return the action's number.

        Raises:
            FailedPrecondition: The stream has ended.
        """
        async with self._lock:
            return await self._put(self._operations.undo(segment))

    async def redo(self, *, segment: int = 1) -> int:
        """Redo the next step of a segment, and return the action's number.

        Raises:
            FailedPrecondition: The stream has ended.
        """
        async with self._lock:
            return await self._put(self._operations.redo(segment))

    async def reset(self, *, segment: int = 1) -> int:
        """Undo all steps of a segment, and return the action's number.

        Raises:
            FailedPrecondition: The stream has ended.
        """
        async with self._lock:
            return await self._put(self._operations.reset(segment))

    async def mask(self, *, segment: int = 1) -> int:
        """Ask for the present mask of a segment, and return the action's number.

        Raises:
            FailedPrecondition: The stream has ended.
        """
        async with self._lock:
            return await self._put(self._operations.mask(segment))

    async def end(self) -> None:
        """Announce that no more actions follow: iteration stops after the last event."""
        async with self._lock:
            if self._operations.is_open and self._call is not None:
                self._operations.is_open = False
                await self._call.done_writing()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while self._call is not None:
            response = await self._read()
            if response is None:
                break
            event = await self._driver.run(self._operations.read(response))
            if event is not None:
                return event
        raise StopAsyncIteration

    async def _read(self) -> annotation_pb.InteractResponse | None:
        """Return the next response, or None at the end of the stream."""
        # gRPC cancels a stream whose reader is cancelled. The shield lets a caller wait for an event with a timeout.
        if self._reading is None:
            assert self._call is not None
            self._reading = asyncio.ensure_future(self._call.read())
        try:
            response = await asyncio.shield(self._reading)
        except grpc.RpcError as failure:
            self._operations.is_open = False
            raise self._driver.explain(failure) from failure
        except asyncio.CancelledError:
            if self._call is None and self._reading.cancelled():
                return None
            raise
        self._reading = None
        return None if response is grpc.aio.EOF else response

    async def _put(self, action: annotation_pb.InteractRequest) -> int:
        assert self._call is not None
        try:
            await self._call.write(action)
        except grpc.RpcError as failure:
            self._operations.is_open = False
            raise self._driver.explain(failure) from failure
        except asyncio.InvalidStateError:
            self._operations.is_open = False
            raise FailedPrecondition("the stream has ended; iterate over it for the reason") from None
        return action.id
