"""Changes of masks, in calls and in streams: which mask a client says it has, and when it asks for a whole one."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from sixpoint import errors
from sixpoint.client import (
    Answered,
    AsyncClient,
    Event,
    Failed,
    Retry,
)
from sixpoint.geometry import Geometry
from sixpoint.mask import Mask
from sixpoint.prompts import InitialMask, Prompt
from tests.sixpoint.client.fake_gateway import (
    EACH_CLIENT,
    POINTS,
    DrawingGateway,
    ball,
    settled,
)
from tests.support.images import noisy_volume


@EACH_CLIENT
async def test_a_client_names_the_mask_it_has_and_applies_changes_to_it(drawing: DrawingGateway, kind: Any) -> None:
    client = kind(drawing.address, retry=Retry.none())
    session = await settled(client.open_session(noisy_volume()))
    masks = [await settled(session.annotate(POINTS)) for _ in range(2)]
    masks += [await settled(session.undo()), await settled(session.mask()), await settled(session.annotate(POINTS))]
    assert drawing.masks_asked == [
        ("Annotate", 1, 0),
        ("Annotate", 1, 1),
        ("Undo", 1, 2),
        ("GetMask", 1, 3),
        ("Annotate", 1, 3),
    ]
    for mask, revision in zip(masks, (1, 2, 3, 3, 4), strict=True):
        assert mask.revision == revision
        assert np.array_equal(mask.array, ball(3 + revision)), "even after later answers"
    await settled(client.close())


@EACH_CLIENT
async def test_each_segment_has_a_mask_of_its_own(drawing: DrawingGateway, kind: Any) -> None:
    client = kind(drawing.address, retry=Retry.none())
    session = await settled(client.open_session(noisy_volume()))
    for segment in (1, 2, 1, 2):
        await settled(session.annotate(POINTS, segment=segment))
    assert [(segment, base) for _, segment, base in drawing.masks_asked] == [(1, 0), (2, 0), (1, 1), (2, 2)]
    await settled(client.close())


@EACH_CLIENT
async def test_after_a_change_that_does_not_fit_the_whole_mask_is_fetched_once(
    drawing: DrawingGateway, kind: Any
) -> None:
    client = kind(drawing.address, retry=Retry.none())
    session = await settled(client.open_session(noisy_volume()))
    await settled(session.annotate(POINTS))
    drawing.damaged["Annotate"] = 1
    mask = await settled(session.annotate(POINTS))
    assert np.array_equal(mask.array, ball(5))
    assert drawing.masks_asked[1:] == [("Annotate", 1, 1), ("GetMask", 1, 0)]
    drawing.damaged = {"Annotate": 1, "GetMask": 1}
    with pytest.raises(errors.InternalError, match="but the answer announces"):
        await settled(session.annotate(POINTS))
    assert drawing.masks_asked[3:] == [("Annotate", 1, 2), ("GetMask", 1, 0)]
    assert session.revision == 3, "the change was made"
    assert np.array_equal((await settled(session.mask())).array, ball(6))
    await settled(client.close())


@EACH_CLIENT
async def test_writing_into_a_mask_does_not_change_the_next_one(drawing: DrawingGateway, kind: Any) -> None:
    client = kind(drawing.address, retry=Retry.none())
    session = await settled(client.open_session(noisy_volume()))
    first = await settled(session.annotate(POINTS))
    first.array[:] = 1
    assert np.array_equal((await settled(session.annotate(POINTS))).array, ball(5))
    assert first.array.all()
    await settled(client.close())


def on_another_grid(how: str) -> InitialMask:
    """An initial mask on another grid than that of ``noisy_volume()``, though its array would fit."""
    own = noisy_volume().geometry
    if how == "mirrored":
        place = Geometry(own.size, own.spacing, own.origin, (-1, 0, 0, 0, -1, 0, 0, 0, 1))
        return InitialMask.of(Mask(ball(5).astype(np.uint8), place))
    return InitialMask.of(ball(5)[:-1])


@EACH_CLIENT
@pytest.mark.parametrize("how", ["mirrored", "smaller"])
async def test_a_mask_to_correct_on_another_grid_is_refused_before_it_is_sent(
    drawing: DrawingGateway, kind: Any, how: str
) -> None:
    client = kind(drawing.address, retry=Retry.none())
    session = await settled(client.open_session(noisy_volume()))
    with pytest.raises(errors.PromptError, match="lies on another grid than the image"):
        await settled(session.annotate(on_another_grid(how)))
    with pytest.raises(errors.PromptError, match="lies on another grid than the image"):
        await events_of(session, on_another_grid(how))
    own = InitialMask.of(Mask(ball(5).astype(np.uint8), noisy_volume().geometry))
    await settled(session.annotate(own))
    await events_of(session, own)
    assert [name for name, _, _ in drawing.masks_asked] == ["Annotate", "Interact"]
    await settled(client.close())


async def events_of(session: Any, *prompts: Prompt) -> list[Event]:
    """Send prompts into a stream, each after the answer to the one before, and return the events."""
    events: list[Event] = []
    if hasattr(session.interact(), "__enter__"):
        with session.interact() as stream:
            for prompt in prompts:
                stream.send(prompt)
                events.append(next(stream))
    else:
        async with session.interact() as stream:
            for prompt in prompts:
                await stream.send(prompt)
                events.append(await anext(stream))
    return events


@EACH_CLIENT
async def test_a_stream_applies_changes_to_the_mask_of_earlier_calls(drawing: DrawingGateway, kind: Any) -> None:
    client = kind(drawing.address, retry=Retry.none(), owner="anna")
    session = await settled(client.open_session(noisy_volume()))
    await settled(session.annotate(POINTS))
    drawing.damaged["Interact"] = 1
    first_event, second_event = await events_of(session, POINTS, POINTS)
    assert isinstance(first_event, Answered), "events of unknown kinds are skipped"
    assert isinstance(second_event, Answered)
    assert np.array_equal(first_event.mask.array, ball(5))
    assert np.array_equal(second_event.mask.array, ball(6))
    assert drawing.masks_asked == [("Annotate", 1, 0), ("Interact", 1, 1), ("GetMask", 1, 0), ("Interact", 1, 2)]
    first, second = (action.annotate for action in drawing.actions)
    assert (first.revision, second.revision, first.session_id, first.segment) == (1, 2, "s1", 1)
    assert first.request_id
    assert first.request_id != second.request_id
    await settled(session.annotate(POINTS))
    assert drawing.calls[-2:] == ["GetMask", "Annotate"], "the state of the session is certain"
    assert drawing.requests["Annotate"].revision == 3
    await settled(client.close())


@EACH_CLIENT
@pytest.mark.parametrize(
    ("error", "uncertain"),
    [(errors.PromptError("no"), False), (errors.StorageUnavailable("away", retry_after=2), True)],
)
async def test_after_a_failed_action_the_session_is_refreshed_if_it_may_have_changed(
    drawing: DrawingGateway, kind: Any, error: errors.SixpointError, uncertain: bool
) -> None:
    client = kind(drawing.address, retry=Retry.none())
    session = await settled(client.open_session(noisy_volume()))
    drawing.failures["Interact"] = error
    (event,) = await events_of(session, POINTS)
    assert isinstance(event, Failed)
    assert (type(event.error), event.error.message) == (type(error), error.message)
    assert event.error.retry_after == error.retry_after
    await settled(session.annotate(POINTS))
    assert ("GetSession" in drawing.calls) == uncertain
    await settled(client.close())


async def test_tasks_may_send_into_one_stream_at_the_same_time(drawing: DrawingGateway) -> None:
    client = AsyncClient(drawing.address, retry=Retry.none())
    session = await client.open_session(noisy_volume((128, 128, 128)))
    # Larger than gRPC's send buffer, so that a write is not done when the next one begins.
    mask = InitialMask.of(np.random.default_rng(0).random((128, 128, 128)) > 0.5)
    async with session.interact() as stream:

        async def listen() -> list[Event]:
            return [event async for event in stream]

        listening = asyncio.create_task(listen())
        numbers = await asyncio.gather(*(stream.send(mask, segment=segment) for segment in range(1, 21)))
        await asyncio.gather(stream.send(POINTS), stream.end(), stream.end())
        events = await listening
    assert [action.id for action in drawing.actions] == [*numbers, 21]
    assert [event.id for event in events if isinstance(event, Answered)] == [*numbers, 21]
    await client.close()
