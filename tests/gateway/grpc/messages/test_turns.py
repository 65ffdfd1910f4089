"""Messages that have arrived together are taken over from gRPC in turns, few bytes in each iteration of the loop."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import grpc
import grpc.aio
import pytest

from gateway.core.runtime.fairness import acting_for
from gateway.grpc.messages.turns import MessageTurns

STREAMS, PART = 12, 2**20


class Iterations:
    """Counts the iterations of the event loop, and the bytes of messages that gRPC copied in each."""

    def __init__(self) -> None:
        self.number = 0
        self.nbytes: Counter[int] = Counter()
        self._count()

    def _count(self) -> None:
        self.number += 1
        asyncio.get_running_loop().call_soon(self._count)

    def copied(self, data: bytes) -> bytes:
        """What gRPC calls for a message right after it was copied."""
        self.nbytes[self.number] += len(data)
        return data


@asynccontextmanager
async def serving(
    handle: Callable[[Any, Any], Awaitable[bytes]], iterations: Iterations
) -> AsyncIterator[Callable[[bytes], grpc.aio.StreamUnaryCall[Any, Any]]]:
    """A server of one method; yields a function that calls it with one message."""
    handler: Any = grpc.stream_unary_rpc_method_handler(cast("Any", handle), request_deserializer=iterations.copied)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("sixpoint.Test", {"Take": handler})])
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            made: Any = channel

            def call(data: bytes) -> grpc.aio.StreamUnaryCall[Any, Any]:
                async def messages() -> AsyncIterator[bytes]:
                    yield data

                result: grpc.aio.StreamUnaryCall[Any, Any] = made.stream_unary("/sixpoint.Test/Take")(messages())
                return result

            yield call
    finally:
        await server.stop(None)


class Handlers:
    """Handlers that read a message each, all at the same moment, when all messages have arrived."""

    def __init__(self, read: Callable[[Any], Awaitable[Any]]) -> None:
        self.read = read
        self.tasks: list[asyncio.Task[Any]] = []
        self.all_here, self.go = asyncio.Event(), asyncio.Event()

    async def handle(self, _: Any, context: Any) -> bytes:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.append(task)
        if len(self.tasks) == STREAMS:
            self.all_here.set()
        await self.go.wait()
        message = await self.read(context)
        assert await self.read(context) is grpc.aio.EOF
        return str(len(message)).encode()

    async def release(self) -> None:
        await self.all_here.wait()
        # Until gRPC has the messages: they are smaller than what it takes in advance.
        await asyncio.sleep(0.5)
        self.go.set()


async def test_messages_that_arrived_together_are_copied_in_as_many_iterations() -> None:
    iterations, handlers = Iterations(), Handlers(MessageTurns(PART // 2).read)
    async with serving(handlers.handle, iterations) as call:
        calls = [call(bytes(PART)) for _ in range(STREAMS)]
        await handlers.release()
        assert [await each for each in calls] == [str(PART).encode()] * STREAMS
    assert max(iterations.nbytes.values()) == PART
    assert len(iterations.nbytes) == STREAMS


async def test_small_messages_do_not_wait_for_each_other() -> None:
    iterations, handlers = Iterations(), Handlers(MessageTurns().read)
    async with serving(handlers.handle, iterations) as call:
        calls = [call(bytes(10)) for _ in range(STREAMS)]
        await handlers.release()
        await asyncio.gather(*calls)
    assert len(iterations.nbytes) < STREAMS


async def test_a_message_of_a_cancelled_call_is_copied_in_its_turn_as_grpc_would_never_free_it() -> None:
    iterations = Iterations()
    turns = MessageTurns(PART // 2)
    handlers = Handlers(turns.read)
    async with serving(handlers.handle, iterations) as call:
        calls = [call(bytes(PART)) for _ in range(STREAMS)]
        await handlers.release()
        while not turns._waiting:
            await asyncio.sleep(0)
        for task in handlers.tasks:
            task.cancel()
        while turns._waiting:
            await asyncio.sleep(0)
        for each in calls:
            each.cancel()
    assert sum(iterations.nbytes.values()) >= (STREAMS - 1) * PART
    assert max(iterations.nbytes.values()) == PART


class Context:
    """A context whose message has arrived, and is copied when its read goes on."""

    def __init__(self, take: Callable[[], bytes]) -> None:
        self._take = take

    async def read(self) -> bytes:
        await asyncio.sleep(0)
        return self._take()


async def read_all(turns: MessageTurns, reads: list[tuple[str, int]]) -> list[str]:
    """Read messages of so many bytes that arrive at the same moment; the owners in the order in which it was done."""
    order: list[str] = []

    def take(owner: str, nbytes: int) -> bytes:
        order.append(owner)
        return bytes(nbytes)

    async def read(owner: str, nbytes: int) -> None:
        with acting_for(owner):
            await turns.read(cast("Any", Context(lambda: take(owner, nbytes))))

    await asyncio.gather(*(read(owner, nbytes) for owner, nbytes in reads))
    return order


async def test_owners_take_turns_however_many_calls_each_has() -> None:
    order = await read_all(MessageTurns(1), [("greedy", 1000)] * 50 + [("polite", 1000)] * 2)
    assert order.index("polite") <= 2
    assert order[:5].count("polite") == 2


async def test_who_sends_little_comes_before_who_sends_much() -> None:
    order = await read_all(MessageTurns(1), [("greedy", 2**20)] * 20 + [("polite", 10)] * 15)
    assert order[1:16] == ["polite"] * 15


async def test_an_error_of_a_read_reaches_its_call_and_others_go_on() -> None:
    turns = MessageTurns(1)

    def fail() -> bytes:
        raise grpc.aio.UsageError("RPC already finished.")

    contexts = [Context(lambda: b"x"), Context(fail), Context(lambda: b"y")]
    results = await asyncio.gather(*(turns.read(cast("Any", each)) for each in contexts), return_exceptions=True)
    assert results[0] == b"x"
    assert isinstance(results[1], grpc.aio.UsageError)
    assert results[2] == b"y"


async def test_a_call_that_is_cancelled_while_nothing_arrives_ends_its_read() -> None:
    ended = False

    class Silent:
        async def read(self) -> bytes:
            nonlocal ended
            try:
                await asyncio.Event().wait()
            finally:
                ended = True
            return b""

    reading = asyncio.create_task(MessageTurns().read(cast("Any", Silent())))
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert ended


async def test_a_message_that_arrived_as_its_call_was_cancelled_is_copied_too() -> None:
    arrival: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    copied: list[bytes] = []

    class Arriving:
        async def read(self) -> bytes:
            await arrival
            copied.append(b"x")
            return b"x"

    reading = asyncio.create_task(MessageTurns().read(cast("Any", Arriving())))
    await asyncio.sleep(0)
    arrival.set_result(None)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    await asyncio.sleep(0)
    assert copied == [b"x"]


async def test_messages_are_written_in_turns_too() -> None:
    iterations, turns = Iterations(), MessageTurns(PART // 2)

    async def write() -> None:
        await turns.wait(PART)
        iterations.copied(bytes(PART))

    await asyncio.gather(*(write() for _ in range(STREAMS)))
    assert sum(iterations.nbytes.values()) == STREAMS * PART
    assert max(iterations.nbytes.values()) <= 2 * PART
    assert len(iterations.nbytes) >= STREAMS - 1


async def test_of_very_many_small_messages_some_are_taken_at_once() -> None:
    iterations, turns = Iterations(), MessageTurns()
    context = cast("Any", Context(lambda: iterations.copied(b"x")))
    await asyncio.gather(*(turns.read(context) for _ in range(200)))
    assert 8 < max(iterations.nbytes.values()) <= 32
