"""What waits in a viewer's stream: in order, bounded, and prompts for one segment joined."""

from __future__ import annotations

import asyncio

from gateway.servicers.interaction import Line, join
from sixpoint.v1 import annotation_service_pb2 as messages


def click(number: int, x: float, **fields: object) -> messages.InteractRequest:
    prompt = messages.Prompt(click=messages.Click(point={"x": x, "y": 0.0, "z": 0.0}))
    request = messages.AnnotateRequest(session_id="s", prompts=[prompt], **fields)  # type: ignore[arg-type]
    return messages.InteractRequest(id=number, annotate=request)


def box(number: int) -> messages.InteractRequest:
    prompt = messages.Prompt(box=messages.BoundingBox())
    return messages.InteractRequest(id=number, annotate=messages.AnnotateRequest(session_id="s", prompts=[prompt]))


def undo(number: int) -> messages.InteractRequest:
    return messages.InteractRequest(id=number, undo=messages.UndoRequest(session_id="s"))


async def taken(*actions: messages.InteractRequest) -> list[list[int]]:
    line = Line(99)
    for action in actions:
        await line.put(action)
    await line.end()
    groups = []
    while group := await line.take():
        groups.append([action.id for action in group])
    return groups


async def test_prompts_that_wait_for_one_segment_are_taken_together():
    assert await taken(click(1, 0), click(2, 1), undo(3), click(4, 2), click(5, 3)) == [[1, 2], [3], [4, 5]]


async def test_segment_0_is_segment_1_and_other_segments_stay_apart():
    assert await taken(click(1, 0), click(2, 1, segment=1), click(3, 2, segment=2)) == [[1, 2], [3]]


async def test_an_action_that_comes_while_another_is_carried_out_waits():
    line = Line(99)
    await line.put(click(1, 0))
    assert [action.id for action in await line.take()] == [1]
    waiting = asyncio.create_task(line.take())
    await asyncio.sleep(0)
    assert not waiting.done()
    await line.put(click(2, 1))
    assert [action.id for action in await waiting] == [2]


async def test_a_full_line_makes_the_reader_wait():
    line = Line(1)
    await line.put(undo(1))
    waiting = asyncio.create_task(line.put(undo(2)))
    await asyncio.sleep(0)
    assert not waiting.done()
    assert [action.id for action in await line.take()] == [1]
    await waiting
    assert [action.id for action in await line.take()] == [2]


def test_clicks_join_in_their_order():
    joined = join([click(1, 0, revision=4, base_revision=4), click(2, 1, base_revision=5)])
    assert joined.id == 2
    assert [prompt.click.point.x for prompt in joined.annotate.prompts] == [0, 1]
    assert (joined.annotate.revision, joined.annotate.base_revision) == (4, 5)


def test_what_begins_an_object_replaces_what_waited_before_it():
    joined = join([click(1, 0), box(2), click(3, 5)])
    assert [prompt.WhichOneof("kind") for prompt in joined.annotate.prompts] == ["box", "click"]
