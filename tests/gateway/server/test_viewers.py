"""A viewer's stream through the SDK, against the real Triton: prompts overtaken, answers, failures, the end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import numpy as np
import pytest

import sixpoint
from gateway.triton.local.server import LocalTriton
from sixpoint import errors
from sixpoint.client import Event
from tests.gateway.prompts import ADD, SIX, TAKE
from tests.support.images import noisy_volume
from tests.support.servers import running_gateway


@pytest.fixture
def session(address: str) -> Iterator[sixpoint.Session]:
    with sixpoint.Client(address) as client, client.open_session(noisy_volume(), model="clicks") as session:
        yield session


@pytest.fixture
async def viewer(address: str) -> AsyncIterator[sixpoint.AsyncSession]:
    async with (
        sixpoint.AsyncClient(address) as client,
        await client.open_session(noisy_volume(), model="clicks") as session,
    ):
        yield session


def last(events: list[Event]) -> dict[int, Event]:
    """The last event of each action."""
    return {event.id: event for event in events}


async def test_actions_are_answered_in_their_order(viewer: sixpoint.AsyncSession) -> None:
    async with viewer.interact() as stream:
        begun = await stream.send(SIX)
        events = [await anext(stream)]
        while not isinstance(events[-1], sixpoint.Answered):
            events.append(await anext(stream))
        clicked = await stream.send(TAKE)
        back = await stream.undo()
        again = await stream.redo()
        none = await stream.reset()
        shown = await stream.mask()
        other = await stream.send(sixpoint.Box((2, 2, 2), (6, 6, 6)), segment=2)
        await stream.end()
        events += [event async for event in stream]
    phases = [event.name for event in events if isinstance(event, sixpoint.Phase) and event.id == begun]
    assert phases == ["waiting", "preprocessing", "inference", "postprocessing"]
    masks = {number: event.mask for number, event in last(events).items() if isinstance(event, sixpoint.Answered)}
    assert list(masks) == [begun, clicked, back, again, none, shown, other]
    assert masks[clicked].array[16, 17, 20] == 0
    assert np.array_equal(masks[back].array, masks[begun].array)
    assert np.array_equal(masks[again].array, masks[clicked].array)
    assert not masks[none].array.any()
    assert not masks[shown].array.any()
    assert viewer.revision == 6
    assert viewer.segments == (sixpoint.SegmentInfo(1, "", 0, 2), sixpoint.SegmentInfo(2, "", 1, 1))
    assert np.array_equal((await viewer.redo()).array, masks[begun].array)


async def test_prompts_that_wait_become_one_step(viewer: sixpoint.AsyncSession) -> None:
    async with viewer.interact() as stream:
        numbers = [await stream.send(prompt) for prompt in (SIX, ADD, ADD, ADD, ADD, TAKE)]
        await stream.end()
        events = last([event async for event in stream])
    final = events[numbers[-1]]
    assert isinstance(final, sixpoint.Answered)
    assert (final.mask.array[16, 17, 20], final.mask.array[16, 17, 4]) == (0, 1)
    joined = [event for event in events.values() if isinstance(event, sixpoint.Superseded)]
    assert joined, "clicks came while the points were answered"
    assert viewer.revision == len(numbers) - len(joined)


async def test_an_action_that_fails_changes_nothing_and_the_stream_goes_on(viewer: sixpoint.AsyncSession) -> None:
    async with viewer.interact() as stream:
        early = await stream.send(ADD)
        back = await stream.undo()
        begun = await stream.send(SIX)
        await stream.end()
        events = last([event async for event in stream])
    failed, undone = events[early], events[back]
    assert isinstance(failed, sixpoint.Failed)
    assert isinstance(failed.error, errors.NothingToCorrect)
    assert isinstance(undone, sixpoint.Failed)
    assert isinstance(undone.error, errors.NothingToUndo)
    assert isinstance(events[begun], sixpoint.Answered)
    assert viewer.revision == 1


async def test_a_viewer_gets_an_error_if_another_client_was_faster(viewer: sixpoint.AsyncSession, address: str) -> None:
    await viewer.annotate(SIX)
    with sixpoint.Client(address) as client:
        client.resume(viewer.id).annotate(ADD)
    async with viewer.interact() as stream:
        late = await stream.send(TAKE)
        async for event in stream:
            if event.id == late and not isinstance(event, sixpoint.Phase):
                break
        assert isinstance(event, sixpoint.Failed)
        assert isinstance(event.error, errors.StaleRevision)
        await viewer.refresh()
        await stream.send(TAKE)
        await stream.end()
        events = [event async for event in stream]
    assert isinstance(events[-1], sixpoint.Answered)
    assert (events[-1].mask.array[16, 17, 20], events[-1].mask.array[16, 17, 4]) == (0, 1)


async def test_waiting_for_an_event_for_a_while_only_loses_none(viewer: sixpoint.AsyncSession) -> None:
    async with viewer.interact() as stream:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(stream), 0.05)
        await stream.send(SIX)
        await stream.end()
        assert isinstance([event async for event in stream][-1], sixpoint.Answered)


async def test_leaving_the_block_ends_it_for_whoever_iterates(viewer: sixpoint.AsyncSession) -> None:
    async with viewer.interact() as stream:

        async def listen() -> list[Event]:
            return [event async for event in stream]

        listening = asyncio.create_task(listen())
        await asyncio.sleep(0.05)
    assert await listening == []
    with pytest.raises(errors.FailedPrecondition, match="not open"):
        await stream.send(SIX)
    assert (await viewer.annotate(SIX)).array.any()


async def test_what_a_viewer_left_unanswered_is_looked_at_before_the_next_change(viewer: sixpoint.AsyncSession) -> None:
    async with viewer.interact() as stream:
        await stream.send(SIX)
    mask = await viewer.annotate(SIX, TAKE)
    assert viewer.revision in (1, 2)
    assert mask.array[16, 17, 20] == 0


async def test_a_gateway_that_goes_away_ends_the_stream_with_an_error(triton: LocalTriton) -> None:
    with contextlib.ExitStack() as stack:
        own = stack.enter_context(running_gateway(triton_url=triton.address, drain_seconds=0.1))
        async with sixpoint.AsyncClient(f"127.0.0.1:{own.port}", retry=sixpoint.Retry.none()) as client:
            session = await client.open_session(noisy_volume(), model="slow")
            async with session.interact() as stream:
                await stream.send(SIX)
                assert isinstance(await anext(stream), sixpoint.Phase)
                await asyncio.to_thread(stack.close)
                with pytest.raises((errors.Unavailable, errors.Cancelled)):
                    async for _ in stream:
                        pass
                with pytest.raises(errors.FailedPrecondition):
                    await stream.send(SIX)


def test_the_blocking_twin_does_the_same(session: sixpoint.Session) -> None:
    with session.interact() as stream:
        begun = stream.send(SIX)
        for event in stream:
            if isinstance(event, sixpoint.Answered):
                break
        assert isinstance(event, sixpoint.Answered)
        assert event.id == begun
        numbers = [stream.send(TAKE), stream.undo(), stream.redo(), stream.mask(), stream.reset(), stream.redo()]
        stream.end()
        events = list(stream)
    assert list(last(events)) == numbers
    masks = [one.mask for one in last(events).values() if isinstance(one, sixpoint.Answered)]
    assert np.array_equal(masks[1].array, event.mask.array)
    assert np.array_equal(masks[5].array, event.mask.array)
    assert np.array_equal(masks[0].array, masks[2].array)
    assert np.array_equal(masks[0].array, masks[3].array)
    assert session.revision == 6
    with pytest.raises(errors.FailedPrecondition, match="not open"):
        stream.undo()


def test_the_blocking_twin_may_be_left_in_the_middle(session: sixpoint.Session) -> None:
    with session.interact() as stream:
        stream.send(SIX)
        next(stream)
    assert list(stream) == []
    assert session.annotate(SIX, TAKE).array[16, 17, 20] == 0


def test_only_what_changed_travels(session: sixpoint.Session) -> None:
    first = session.annotate(SIX)
    clicked = session.click(TAKE.point, positive=False)
    assert np.array_equal(session.mask().array, clicked.array)
    assert session.mask().reply_bytes < clicked.reply_bytes < first.reply_bytes


def test_whatever_was_done_a_client_has_the_masks_that_a_new_one_gets(address: str) -> None:
    rng = np.random.default_rng(6)
    with sixpoint.Client(address) as client, client.open_session(noisy_volume(), model="clicks") as session:
        for segment in (1, 2):
            session.annotate(SIX, segment=segment)
        for _ in range(16):
            segment = int(rng.integers(1, 3))
            other = client.resume(session.id)
            with contextlib.suppress(errors.NothingToUndo, errors.NothingToRedo, errors.NothingToCorrect):
                match rng.choice(["click", "undo", "redo", "reset", "begin", "other", "look"], p=[0.4] + [0.1] * 6):
                    case "click":
                        session.click(
                            tuple(rng.integers(2, 30, 3).tolist()), positive=bool(rng.random() < 0.5), segment=segment
                        )
                    case "begin":
                        session.annotate(
                            SIX if rng.random() < 0.5 else sixpoint.Box((3, 3, 3), (20, 22, 24)), segment=segment
                        )
                    case "other":
                        other.annotate(SIX, segment=segment)
                        session.refresh()
                    case "look":
                        session.mask(segment=segment)
                    case way:
                        getattr(session, way)(segment=segment)
            assert np.array_equal(session.mask(segment=segment).array, other.mask(segment=segment).array)
