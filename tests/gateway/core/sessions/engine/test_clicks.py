"""Clicks correct the previous answer: one step and one call of the network each."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.core.runtime import Model
from sixpoint import errors
from sixpoint.prompts import Click, Prompt
from tests.gateway.core.sessions.engine.process import Process, voxels
from tests.gateway.prompts import ADD, BOX, SIX, TAKE
from tests.support.models import CLICKS_SPEC, ellipsoid_answer


async def test_each_call_is_one_call_of_the_network_and_one_step(process: Process) -> None:
    session = await process.open()
    await process.annotate(session, SIX, ADD)
    answer = await process.annotate(session, TAKE)
    assert len(process.inference.tensors) == 2
    steps = await process.steps(session)
    assert [row.prompts for row, _ in steps] == [(SIX, ADD), (TAKE,)]
    mask = voxels(answer.mask)
    assert (mask[16, 17, 4], mask[16, 17, 20]) == (1, 0)


async def test_the_answer_so_far_is_what_the_next_click_corrects(process: Process) -> None:
    session = await process.open()
    await process.annotate(session, SIX)
    await process.annotate(session, TAKE)
    first, second = process.inference.tensors
    assert not first[4].any()
    answered = ellipsoid_answer(first, CLICKS_SPEC)[0] / np.float32(255)
    assert np.allclose(second[4], answered, atol=1e-3)
    assert second[3].max() > 0.9


@pytest.mark.parametrize("start", [SIX, BOX], ids=["points", "box"])
async def test_a_new_object_ignores_earlier_clicks_and_answers(process: Process, start: Prompt) -> None:
    session = await process.open()
    fresh = await process.annotate(session, start)
    await process.annotate(session, ADD, TAKE)
    anew = await process.annotate(session, start)
    assert anew.mask == fresh.mask
    assert not process.inference.tensors[-1][2:5].any()


async def test_replaying_the_log_gives_the_same_masks(process: Process) -> None:
    session, again = await process.open(), await process.open()
    calls: list[list[Prompt]] = [[SIX], [ADD], [TAKE, Click((38, 30, 30))], [BOX, TAKE], [ADD]]
    answers = [await process.annotate(session, *call) for call in calls]
    steps = await process.steps(session)
    replayed = [await process.annotate(again, *row.prompts) for row, _ in steps]
    assert [one.mask for one in replayed] == [one.mask for one in answers]


async def test_clicks_without_an_object_are_refused(process: Process) -> None:
    with pytest.raises(errors.NothingToCorrect, match="start with"):
        await process.annotate(await process.open(), ADD)


async def test_a_model_that_changes_its_roi_goes_on_from_the_same_answer(process: Process) -> None:
    session = await process.open()
    await process.annotate(session, SIX)
    smaller = CLICKS_SPEC.model_copy(update={"roi": CLICKS_SPEC.roi.model_copy(update={"size": (32, 48, 40)})})
    process.catalog.update({"clicks": Model("clicks", "8", smaller)})
    answer = await process.annotate(session, ADD)
    assert process.inference.tensors[-1].shape == (8, 40, 48, 32)
    assert answer.version == "8"
    mask = voxels(answer.mask)
    assert (mask[16, 17, 4], mask[16, 17, 20]) == (1, 1)
