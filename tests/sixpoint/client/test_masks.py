"""Both clients and what changed of a mask: what they say they have, what they make of it, and when they ask again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest

from sixpoint import errors
from sixpoint.client import Answered, AsyncClient, Client, Event, Failed, Retry
from sixpoint.geometry import Geometry
from sixpoint.mask import Mask, pack, pack_change
from sixpoint.prompts import InitialMask, Prompt
from sixpoint.protocol import error_to_status, mask_to_message
from sixpoint.v1 import annotation_service_pb2 as annotation
from sixpoint.v1 import session_service_pb2 as sessions
from tests.sixpoint.client.test_client import POINTS, Server, server, settled
from tests.support.images import noisy_volume

__all__ = ["server"]

SHAPE = noisy_volume().array.shape
BOTH = pytest.mark.parametrize("kind", [Client, AsyncClient], ids=["blocking", "asyncio"])


def ball(radius: float) -> np.ndarray:
    z, y, x = np.indices(SHAPE)
    return (z - 16) ** 2 + (y - 18) ** 2 + (x - 20) ** 2 < radius**2


class Drawing(Server):
    """Answers what changed since the mask that the client says it has: balls, larger with each revision."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[tuple[str, int, int]] = []
        self.damage: dict[str, int] = {}
        self.actions: list[annotation.InteractRequest] = []

    def answer(self, name: str, request: Any) -> annotation.Answer:
        segment, base = request.segment, request.base_revision
        self.said.append((name, segment, base))
        mask = ball(3 + self.revision)
        whole = pack(mask, (0, 0, 0))
        packed = whole
        if base:
            packed = pack_change(mask, (0, 0, 0), before=(ball(3 + base), (0, 0, 0)), revision=base)
        message = mask_to_message(packed)
        if self.damage.get(name):
            self.damage[name] -= 1
            message.voxel_count += 1
        return annotation.Answer(revision=self.revision, segment=segment, mask=message, step=1, step_count=1)

    def Annotate(self, request: Any, context: grpc.ServicerContext) -> annotation.AnnotateResponse:  # noqa: N802
        self._begin("Annotate", request, context)
        self.revision += 1
        return annotation.AnnotateResponse(answer=self.answer("Annotate", request))

    def Undo(self, request: Any, context: grpc.ServicerContext) -> annotation.UndoResponse:  # noqa: N802
        self._begin("Undo", request, context)
        self.revision += 1
        return annotation.UndoResponse(answer=self.answer("Undo", request))

    def Interact(  # noqa: N802
        self, stream: Iterator[annotation.InteractRequest], context: grpc.ServicerContext
    ) -> Iterator[annotation.InteractResponse]:
        for action in stream:
            self.actions.append(action)
            if "Interact" in self.fail:
                status = error_to_status(self.fail["Interact"]).SerializeToString()
                yield annotation.InteractResponse(id=action.id, failure=status)
                continue
            yield annotation.InteractResponse(id=action.id)
            self.revision += 1
            yield annotation.InteractResponse(id=action.id, answer=self.answer("Interact", action.annotate))

    def GetSession(self, request: Any, context: grpc.ServicerContext) -> sessions.GetSessionResponse:  # noqa: N802
        self._begin("GetSession", request, context)
        return sessions.GetSessionResponse(session=sessions.Session(id="s1", revision=self.revision))

    def GetMask(self, request: Any, context: grpc.ServicerContext) -> annotation.GetMaskResponse:  # noqa: N802
        self._begin("GetMask", request, context)
        return annotation.GetMaskResponse(answer=self.answer("GetMask", request))


@pytest.fixture
def drawing(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Any:
    monkeypatch.setattr("tests.sixpoint.client.test_client.Server", Drawing)
    return request.getfixturevalue("server")


@BOTH
async def test_a_client_says_which_mask_it_has_and_makes_the_next_one_of_it(drawing: Drawing, kind: Any) -> None:
    client = kind(drawing.address, retry=Retry.none())
    session = await settled(client.open_session(noisy_volume()))
    masks = [await settled(session.annotate(POINTS)) for _ in range(2)]
    masks += [await settled(session.undo()), await settled(session.mask()), await settled(session.annotate(POINTS))]
    assert drawing.said == [
        ("Annotate", 1, 0),
        ("Annotate", 1, 1),
        ("Undo", 1, 2),
        ("GetMask", 1, 3),
        ("Annotate", 1, 3),
    ]
    for mask, revision in zip(masks, (1, 2, 3, 3, 4), strict=True):
        assert mask.revision == revision
        assert np.array_equal(mask.array, ball(3 + revision)), "also after later answers"
    await settled(client.close())


@BOTH
async def test_each_segment_has_a_mask_of_its_own(drawing: Drawing, kind: Any) -> None:
    client = kind(drawing.address, retry=Retry.none())
    session = await settled(client.open_session(noisy_volume()))
    for segment in (1, 2, 1, 2):
        await settled(session.annotate(POINTS, segment=segment))
    assert [(segment, base) for _, segment, base in drawing.said] == [(1, 0), (2, 0), (1, 1), (2, 2)]
    await settled(client.close())


@BOTH
async def test_a_change_that_does_not_fit_is_asked_for_whole_once(drawing: Drawing, kind: Any) -> None:
    client = kind(drawing.address, retry=Retry.none())
    session = await settled(client.open_session(noisy_volume()))
    await settled(session.annotate(POINTS))
    drawing.damage["Annotate"] = 1
    mask = await settled(session.annotate(POINTS))
    assert np.array_equal(mask.array, ball(5))
    assert drawing.said[1:] == [("Annotate", 1, 1), ("GetMask", 1, 0)]
    drawing.damage = {"Annotate": 1, "GetMask": 1}
    with pytest.raises(errors.InternalError, match="but the answer announces"):
        await settled(session.annotate(POINTS))
    assert drawing.said[3:] == [("Annotate", 1, 2), ("GetMask", 1, 0)]
    assert session.revision == 3, "the change itself was made"
    assert np.array_equal((await settled(session.mask())).array, ball(6))
    await settled(client.close())


@BOTH
async def test_what_a_user_writes_into_a_mask_stays_there(drawing: Drawing, kind: Any) -> None:
    client = kind(drawing.address, retry=Retry.none())
    session = await settled(client.open_session(noisy_volume()))
    first = await settled(session.annotate(POINTS))
    first.array[:] = 1
    assert np.array_equal((await settled(session.annotate(POINTS))).array, ball(5))
    assert first.array.all()
    await settled(client.close())


def on_another_grid(how: str) -> InitialMask:
    """A mask to correct that was made for another grid than that of ``noisy_volume()``, and would fit into it."""
    own = noisy_volume().geometry
    if how == "mirrored":
        place = Geometry(own.size, own.spacing, own.origin, (-1, 0, 0, 0, -1, 0, 0, 0, 1))
        return InitialMask.of(Mask(ball(5).astype(np.uint8), place))
    return InitialMask.of(ball(5)[:-1])


@BOTH
@pytest.mark.parametrize("how", ["mirrored", "smaller"])
async def test_a_mask_to_correct_on_another_grid_is_refused_before_it_is_sent(
    drawing: Drawing, kind: Any, how: str
) -> None:
    client = kind(drawing.address, retry=Retry.none())
    session = await settled(client.open_session(noisy_volume()))
    with pytest.raises(errors.PromptError, match="lies on another grid than the image"):
        await settled(session.annotate(on_another_grid(how)))
    with pytest.raises(errors.PromptError, match="lies on another grid than the image"):
        await told(session, on_another_grid(how))
    own = InitialMask.of(Mask(ball(5).astype(np.uint8), noisy_volume().geometry))
    await settled(session.annotate(own))
    await told(session, own)
    assert [name for name, _, _ in drawing.said] == ["Annotate", "Interact"]
    await settled(client.close())


async def told(session: Any, *prompts: Prompt) -> list[Event]:
    """The events of prompts that are sent into a stream, each after the events of the one before."""
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


@BOTH
async def test_a_stream_goes_on_from_the_mask_that_single_calls_brought(drawing: Drawing, kind: Any) -> None:
    client = kind(drawing.address, retry=Retry.none(), owner="anna")
    session = await settled(client.open_session(noisy_volume()))
    await settled(session.annotate(POINTS))
    drawing.damage["Interact"] = 1
    events = await told(session, POINTS, POINTS)
    assert all(isinstance(event, Answered) for event in events), "an event of an unknown kind is passed over"
    assert [np.array_equal(event.mask.array, ball(3 + n)) for n, event in enumerate(events, 2)] == [True, True]
    assert drawing.said == [("Annotate", 1, 0), ("Interact", 1, 1), ("GetMask", 1, 0), ("Interact", 1, 2)]
    first, second = (action.annotate for action in drawing.actions)
    assert (first.revision, second.revision, first.session_id, first.segment) == (1, 2, "s1", 1)
    assert first.request_id
    assert first.request_id != second.request_id
    await settled(session.annotate(POINTS))
    assert drawing.calls[-2:] == ["GetMask", "Annotate"], "nothing is in doubt"
    assert drawing.requests["Annotate"].revision == 3
    await settled(client.close())


@BOTH
@pytest.mark.parametrize(
    ("error", "doubt"), [(errors.PromptError("no"), False), (errors.StorageUnavailable("away", retry_after=2), True)]
)
async def test_after_a_failure_in_a_stream_the_session_is_looked_at_if_it_may_have_changed(
    drawing: Drawing, kind: Any, error: errors.SixpointError, doubt: bool
) -> None:
    client = kind(drawing.address, retry=Retry.none())
    session = await settled(client.open_session(noisy_volume()))
    drawing.fail["Interact"] = error
    (event,) = await told(session, POINTS)
    assert isinstance(event, Failed)
    assert (type(event.error), event.error.message) == (type(error), error.message)
    assert event.error.retry_after == error.retry_after
    await settled(session.annotate(POINTS))
    assert ("GetSession" in drawing.calls) == doubt
    await settled(client.close())


async def test_tasks_may_send_into_one_stream_at_the_same_time(drawing: Drawing) -> None:
    client = AsyncClient(drawing.address, retry=Retry.none())
    session = await client.open_session(noisy_volume((128, 128, 128)))
    # Larger than what gRPC takes at once, so that a write is not done when the next one begins.
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
