"""Calls with prompts: what they return, what they refuse, and what they leave unchanged."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import numpy as np
import pytest

from gateway.core.runtime import Deadline, InferenceResult, Model, Stage
from gateway.core.sessions.log_quota import LogLimits
from gateway.core.sessions.request import AnnotationRequest
from gateway.storage.database import Database
from sixpoint import errors
from sixpoint.model_spec import Candidate
from sixpoint.prompts import Click, InitialMask, Prompt
from tests.gateway.core.sessions.engine.process import VOLUME, Process
from tests.gateway.prompts import ADD, SIX, TAKE
from tests.support.callers import NOBODY
from tests.support.models import CLICKS_SPEC, clicks_answer


async def test_an_answer_carries_mask_revision_version_and_timings(process: Process) -> None:
    session = await process.open("annotation")
    first, second = await process.annotate(session, SIX), await process.annotate(session, SIX)
    assert (first.revision, second.revision) == (1, 2)
    assert (first.segment.head, first.segment.length) == (1, 1)
    assert (first.model, first.version) == ("annotation", "7")
    assert first.mask == second.mask
    assert first.mask.voxel_count > 4000
    assert first.timings.inference >= timedelta(milliseconds=45)
    assert min(first.timings.preprocess, first.timings.postprocess, first.timings.store) > timedelta()


async def test_the_time_left_is_passed_on_to_triton(process: Process) -> None:
    await process.annotate(await process.open(), SIX)
    assert 5 < process.inference.timeouts[0] < 10


async def test_the_stages_of_a_call_are_reported(process: Process) -> None:
    stages: list[Stage] = []
    target = AnnotationRequest(NOBODY, await process.open())
    await process.engine.annotate(target, [SIX], deadline=Deadline.after(10), on_stage=stages.append)
    assert stages == list(Stage)


async def test_prompts_of_one_session_are_answered_one_after_the_other(process: Process) -> None:
    session = await process.open()
    answers = await asyncio.gather(*(process.annotate(session, SIX) for _ in range(4)))
    assert sorted(one.revision for one in answers) == [1, 2, 3, 4]
    assert process.inference.max_running == 1


async def test_prompts_of_different_sessions_run_side_by_side(process: Process) -> None:
    sessions = [await process.open() for _ in range(6)]
    await asyncio.gather(*(process.annotate(session, SIX) for session in sessions))
    assert process.inference.max_running > 1


async def test_too_many_prompts_at_once_are_refused(database: Database) -> None:
    process = Process(database, max_prompts=2)
    sessions = [await process.open() for _ in range(5)]
    results = await asyncio.gather(*(process.annotate(one, SIX) for one in sessions), return_exceptions=True)
    refused = [one for one in results if isinstance(one, errors.ResourceExhausted)]
    assert len(refused) == 3
    assert all(one.retry_after for one in refused)


async def test_a_session_that_is_full_is_refused_before_the_network_is_asked(database: Database) -> None:
    process = Process(database, log_limits=LogLimits(steps=1))
    session = await process.open()
    await process.annotate(session, SIX)
    asked = len(process.inference.timeouts)
    for revision in (None, 1):
        with pytest.raises(errors.ResourceExhausted, match="SIXPOINT_SESSION_STEPS"):
            await process.annotate(session, TAKE, revision=revision)
    assert len(process.inference.timeouts) == asked
    assert (await process.engine.undo(AnnotationRequest(NOBODY, session))).revision == 2
    assert (await process.annotate(session, SIX)).revision == 3


async def test_a_mask_that_is_asked_for_counts_among_the_prompts(database: Database) -> None:
    process = Process(database, max_prompts=1)
    request = AnnotationRequest(NOBODY, await process.open())
    async with process.admission.slot():
        with pytest.raises(errors.ResourceExhausted, match="SIXPOINT_MAX_PROMPTS"):
            await process.engine.mask(request)
    assert (await process.engine.mask(request)).revision == 0


async def test_a_deadline_that_passed_never_reaches_triton(process: Process) -> None:
    with pytest.raises(errors.DeadlineExceeded):
        await process.engine.annotate(
            AnnotationRequest(NOBODY, await process.open()), [SIX], deadline=Deadline.after(0)
        )
    assert process.inference.timeouts == []


async def test_a_cancelled_prompt_frees_the_session(process: Process) -> None:
    session = await process.open()
    task = asyncio.create_task(process.annotate(session, SIX))
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await process.annotate(session, SIX)).revision == 1


async def test_a_model_that_takes_no_points_refuses_them(process: Process) -> None:
    with pytest.raises(errors.PromptNotSupported, match="takes no prompts"):
        await process.annotate(await process.open("promptless"), SIX)
    with pytest.raises(errors.PromptNotSupported, match="'annotation' takes extreme_points; not clicks"):
        await process.annotate(await process.open("annotation"), SIX, ADD)
    with pytest.raises(errors.PromptNotSupported, match="not mask"):
        await process.annotate(await process.open("annotation"), InitialMask.of(np.ones(VOLUME.array.shape)))


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ([Click((400, 1, 1))], errors.PromptError),
        ([ADD, SIX], errors.PromptError),
        ([], errors.PromptError),
        ([ADD] * 1001, errors.ResourceExhausted),
    ],
)
async def test_a_refused_call_leaves_the_session_as_it_was(
    process: Process, call: Sequence[Prompt], error: type[errors.SixpointError]
) -> None:
    session = await process.open()
    await process.annotate(session, SIX)
    before = await process.engine.mask(AnnotationRequest(NOBODY, session))
    with pytest.raises(error):
        await process.annotate(session, *call)
    after = await process.engine.mask(AnnotationRequest(NOBODY, session))
    assert (after.mask, after.revision) == (before.mask, 1)


async def test_a_click_that_triton_failed_is_as_if_it_was_never_made(process: Process) -> None:
    session, reference = await process.open(), await process.open()
    for one in (session, reference):
        await process.annotate(one, SIX)
    process.inference.failures = 1
    with pytest.raises(errors.TritonUnavailable):
        await process.annotate(session, ADD)
    expected = await process.annotate(reference, TAKE)
    answer = await process.annotate(session, TAKE)
    assert (answer.mask, answer.revision) == (expected.mask, 2)


@pytest.mark.parametrize("value", [np.nan, np.inf])
async def test_numbers_that_are_not_finite_are_an_error_and_change_nothing(
    process: Process, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    session = await process.open()
    before = await process.annotate(session, SIX)

    async def infer(model: Model, tensor: np.ndarray, *, timeout: float, version: str = "") -> InferenceResult:
        output = clicks_answer(tensor)
        return InferenceResult(np.where(output == output.max(), np.float32(value), output), version or model.version)

    monkeypatch.setattr(process.inference, "infer", infer)
    with pytest.raises(errors.InferenceError, match="NaN or infinite"):
        await process.annotate(session, ADD)
    after = await process.engine.mask(AnnotationRequest(NOBODY, session))
    assert (after.mask, after.revision) == (before.mask, before.revision)


async def test_a_version_on_trial_answers_its_share_of_the_sessions(process: Process) -> None:
    trial = Candidate(version="8", share=0.5)
    process.catalog.update({"clicks": Model("clicks", "7", CLICKS_SPEC, trial)})
    sessions = [await process.open() for _ in range(12)]
    versions = [(await process.annotate(one, SIX)).version for one in sessions]
    assert versions == ["8" if trial.serves(one) else "7" for one in sessions]
    assert {(await process.annotate(one, ADD)).version for one in sessions if trial.serves(one)} <= {"8"}
