"""What waits in a viewer's stream: in order, bounded, prompts for one segment joined; and what is then done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.core.access import NO_AUDIT, AuditEntry, Auditor
from gateway.core.access import Action as AuditedAction
from gateway.core.sessions import AnnotationRequest
from gateway.grpc.servicers.action_queue import Action, ActionQueue, join_prompts
from gateway.grpc.servicers.stream_memory import StreamMemory
from sixpoint import errors
from sixpoint.prompts import Prompt
from sixpoint.protocol import error_from_status, prompt_to_message
from sixpoint.v1 import annotation_service_pb2 as annotation_pb
from sixpoint.v1 import volume_pb2 as volume_pb
from tests.gateway.core.sessions.engine.process import Process, database_with_image, voxels
from tests.gateway.grpc.streams import arrived, stream_of
from tests.gateway.prompts import ADD, SIX, TAKE
from tests.support.callers import NOBODY


def click(number: int, x: float, **fields: object) -> annotation_pb.InteractRequest:
    prompt = annotation_pb.Prompt(click=annotation_pb.Click(point=volume_pb.Point(x=x)))
    request = annotation_pb.AnnotateRequest(session_id="s", prompts=[prompt], **fields)  # type: ignore[arg-type]
    return annotation_pb.InteractRequest(id=number, annotate=request)


def box(number: int) -> annotation_pb.InteractRequest:
    prompt = annotation_pb.Prompt(box=annotation_pb.BoundingBox())
    return annotation_pb.InteractRequest(
        id=number, annotate=annotation_pb.AnnotateRequest(session_id="s", prompts=[prompt])
    )


def undo(number: int) -> annotation_pb.InteractRequest:
    return annotation_pb.InteractRequest(id=number, undo=annotation_pb.UndoRequest(session_id="s"))


def ids_of(group: list[Action]) -> list[int]:
    return [action.content.id for action in group]


async def taken(*actions: annotation_pb.InteractRequest) -> list[list[int]]:
    line = ActionQueue(99)
    for action in actions:
        await line.put(arrived(action))
    await line.end()
    groups = []
    while group := await line.take():
        groups.append(ids_of(group))
    return groups


async def test_prompts_that_wait_for_one_segment_are_taken_together() -> None:
    assert await taken(click(1, 0), click(2, 1), undo(3), click(4, 2), click(5, 3)) == [[1, 2], [3], [4, 5]]


async def test_segment_0_is_segment_1_and_other_segments_stay_apart() -> None:
    assert await taken(click(1, 0), click(2, 1, segment=1), click(3, 2, segment=2)) == [[1, 2], [3]]


async def test_an_action_that_is_repeated_is_not_joined_to_itself() -> None:
    actions = [click(number, 0, request_id=name) for number, name in enumerate(("a", "b", "a", "", ""), 1)]
    assert await taken(*actions) == [[1, 2], [3, 4, 5]]


async def test_an_action_that_comes_while_another_is_carried_out_waits() -> None:
    line = ActionQueue(99)
    await line.put(arrived(click(1, 0)))
    assert ids_of(await line.take()) == [1]
    waiting = asyncio.create_task(line.take())
    await asyncio.sleep(0)
    assert not waiting.done()
    await line.put(arrived(click(2, 1)))
    assert ids_of(await waiting) == [2]


async def test_a_viewer_waits_while_many_bytes_wait() -> None:
    line, large = ActionQueue(99, max_bytes=1000), undo(1)
    large.undo.request_id = "r" * 900
    await line.put(arrived(large))
    putting = asyncio.create_task(line.put(arrived(large)))
    await asyncio.sleep(0.02)
    assert not putting.done()
    assert ids_of(await line.take()) == [1]
    await asyncio.wait_for(putting, 1)
    assert ids_of(await line.take()) == [1]
    larger = undo(2)
    larger.undo.request_id = "r" * 5000
    await asyncio.wait_for(line.put(arrived(larger)), 1)


async def test_a_full_line_makes_the_reader_wait() -> None:
    line = ActionQueue(1)
    await line.put(arrived(undo(1)))
    waiting = asyncio.create_task(line.put(arrived(undo(2))))
    await asyncio.sleep(0)
    assert not waiting.done()
    assert ids_of(await line.take()) == [1]
    await waiting
    assert ids_of(await line.take()) == [2]


def joined_of(
    *actions: annotation_pb.InteractRequest,
) -> tuple[annotation_pb.InteractRequest, list[annotation_pb.Prompt]]:
    return join_prompts([*map(arrived, actions)])


def test_clicks_join_in_their_order() -> None:
    joined, prompts = joined_of(click(1, 0, revision=4, base_revision=4), click(2, 1, base_revision=5))
    assert joined.id == 2
    assert [prompt.click.point.x for prompt in prompts] == [0, 1]
    assert (joined.annotate.revision, joined.annotate.base_revision) == (4, 5)


def test_what_begins_an_object_replaces_what_waited_before_it() -> None:
    _, prompts = joined_of(click(1, 0), box(2), click(3, 5))
    assert [prompt.WhichOneof("kind") for prompt in prompts] == ["box", "click"]


def test_scribbles_and_lassos_are_added_to_what_waits() -> None:
    drawn = [annotation_pb.Prompt(scribble=annotation_pb.Scribble()), annotation_pb.Prompt(lasso=annotation_pb.Lasso())]
    waiting = [
        annotation_pb.InteractRequest(
            id=number, annotate=annotation_pb.AnnotateRequest(session_id="s", prompts=[prompt])
        )
        for number, prompt in enumerate(drawn, 3)
    ]
    _, prompts = joined_of(box(1), click(2, 5), *waiting)
    assert [prompt.WhichOneof("kind") for prompt in prompts] == ["box", "click", "scribble", "lasso"]


def test_prompts_that_are_joined_are_not_copied() -> None:
    action = arrived(box(1))
    joined, (prompt,) = join_prompts([action])
    action.content.annotate.prompts[0].box.lower.x = 7
    assert prompt.box.lower.x == 7
    assert not joined.annotate.prompts


# On a real database


@pytest.fixture
async def process(tmp_path: Path) -> AsyncIterator[Process]:
    async with database_with_image(tmp_path) as database:
        yield Process(database)


def show(
    number: int, session_id: str, prompt: Prompt, request_id: str, **fields: object
) -> annotation_pb.InteractRequest:
    request = annotation_pb.AnnotateRequest(
        session_id=session_id,
        prompts=[prompt_to_message(prompt)],
        request_id=request_id,
        **fields,  # type: ignore[arg-type]
    )
    return annotation_pb.InteractRequest(id=number, annotate=request)


async def stream(
    process: Process, *actions: annotation_pb.InteractRequest, auditor: Auditor = NO_AUDIT
) -> dict[int, annotation_pb.InteractResponse]:
    """The last event of each action of a stream, in which all wait before the first is carried out."""
    events = {}

    async def requests() -> AsyncIterator[Action]:
        for action in actions:
            yield arrived(action)

    async def write(event: annotation_pb.InteractResponse) -> None:
        events[event.id] = event

    with StreamMemory(2**24).share("") as memory:
        viewer = stream_of(process, memory, auditor=auditor)
        await viewer.run(requests(), write)
    return events


async def steps(process: Process, session_id: str) -> int:
    return len(await process.steps(session_id))


@pytest.mark.parametrize("ids", [("r2", "r3"), ("", "")])
@pytest.mark.parametrize("at_hand", [False, True])
async def test_prompts_that_wait_with_one_that_is_repeated_are_carried_out(
    process: Process, ids: list[str], at_hand: bool
) -> None:
    session = await process.open()
    await stream(process, show(1, session, SIX, "r1"))
    again = show(1, session, SIX, "r1", **({"revision": 1} if at_hand else {}))
    events = await stream(process, again, show(2, session, TAKE, ids[0]), show(3, session, ADD, ids[1]))
    assert [events[number].answer.revision for number in (1, 2, 3)] == [1, 2, 3]
    mask = voxels((await Process(process.database).engine.mask(AnnotationRequest(NOBODY, session))).mask)
    assert (mask[16, 17, 20], mask[16, 17, 4]) == (0, 1)
    assert await steps(process, session) == 3


async def test_prompts_that_were_joined_are_carried_out_once_when_all_are_repeated(process: Process) -> None:
    session = await process.open()
    actions = [show(1, session, SIX, "r1"), show(2, session, TAKE, "r2")]
    for _ in range(2):
        events = await stream(process, *actions)
        assert (events[1].superseded_by, events[2].answer.revision) == (2, 1)
    assert await steps(process, session) == 1


async def test_an_action_that_is_repeated_behind_itself_is_answered_again(process: Process) -> None:
    session = await process.open()
    events = await stream(
        process, show(1, session, SIX, "r1"), show(2, session, TAKE, "r2"), show(3, session, TAKE, "r2")
    )
    assert events[1].superseded_by == 2
    assert events[3].answer.mask == events[2].answer.mask
    assert (events[2].answer.revision, events[3].answer.revision, await steps(process, session)) == (1, 1, 1)


async def test_of_prompts_that_wait_the_one_with_too_long_an_id_fails_alone(process: Process) -> None:
    session = await process.open()
    events = await stream(
        process, show(1, session, SIX, "r1"), show(2, session, ADD, "i" * 65), show(3, session, TAKE, "r3")
    )
    assert [events[number].answer.revision for number in (1, 3)] == [1, 2]
    failure = error_from_status(events[2].failure)
    assert isinstance(failure, errors.InvalidArgument)
    assert "65 characters; expected at most 64" in failure.message


async def test_actions_on_what_is_not_the_callers_are_in_the_audit_log(process: Process) -> None:
    class Notes:
        def __init__(self) -> None:
            self.outcomes: list[tuple[AuditedAction, str, str]] = []

        def note(self, entry: AuditEntry) -> None:
            self.outcomes.append((entry.action, entry.object, entry.outcome))

    notes = Notes()
    await stream(process, undo(1), undo(2), auditor=notes)
    assert notes.outcomes == 2 * [(AuditedAction.CALL, "Interact", "SESSION_NOT_FOUND")]


async def test_a_stream_answers_what_has_arrived_and_ends_when_the_gateway_stops(process: Process) -> None:
    session, stopping = await process.open(), asyncio.Event()
    answered = []

    async def requests() -> AsyncIterator[Action]:
        yield arrived(show(1, session, SIX, ""))
        await asyncio.Event().wait()

    async def write(event: annotation_pb.InteractResponse) -> None:
        if event.phase == annotation_pb.PHASE_INFERENCE:
            stopping.set()
        if event.HasField("answer"):
            answered.append(event.id)

    with StreamMemory(2**24).share("") as memory:
        viewer = stream_of(process, memory, stopping=stopping)
        with pytest.raises(errors.Unavailable, match="the gateway stops"):
            async with asyncio.timeout(10):
                await viewer.run(requests(), write)
    assert answered == [1]
    assert await steps(process, session) == 1
