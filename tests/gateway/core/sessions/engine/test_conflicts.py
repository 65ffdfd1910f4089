"""Revisions, repeated calls, and several gateway processes on one session."""

from __future__ import annotations

import asyncio
import itertools

import numpy as np
import pytest

from gateway.core.access import Role
from gateway.core.runtime import InferenceResult, Model
from gateway.core.sessions import turns
from gateway.core.sessions.request import AnnotationRequest
from gateway.storage.database import Database
from sixpoint import errors
from sixpoint.prompts import Click
from tests.gateway.core.sessions.engine.process import ModelsInference, Process, voxels
from tests.gateway.prompts import ADD, SIX, TAKE
from tests.support.callers import NOBODY, caller


async def test_a_call_for_another_revision_is_refused(process: Process) -> None:
    session = await process.open()
    await process.annotate(session, SIX, revision=0)
    with pytest.raises(errors.StaleRevision, match="revision 1, the call was made for 0") as caught:
        await process.annotate(session, ADD, revision=0)
    for way in ("sixpoint resume SESSION on the command line", "session.refresh() in the SDK", "GetSession in gRPC"):
        assert way in caught.value.message
    with pytest.raises(errors.StaleRevision):
        await process.engine.undo(AnnotationRequest(NOBODY, session, revision=7))
    assert len(process.inference.tensors) == 1


async def test_two_processes_on_one_session_lose_no_prompt(process: Process, database: Database) -> None:
    session = await process.open()
    await process.annotate(session, SIX)
    others = [process, Process(database), Process(database)]
    clicks = [Click((x, 17, 16)) for x in (3, 4, 5)]
    await asyncio.gather(*(one.annotate(session, click) for one, click in zip(others, clicks, strict=True)))
    steps = await process.steps(session)
    shown = list(itertools.chain.from_iterable(row.prompts for row, _ in steps))
    assert shown[0] == SIX
    assert all(click in shown[1:] for click in clicks)
    assert len(shown) == 1 + len(clicks)
    mask = voxels((await Process(database).engine.mask(AnnotationRequest(NOBODY, session))).mask)
    assert mask[16, 17, 3:6].all()


async def test_a_slower_process_gets_its_turn_while_a_faster_one_has_calls(
    process: Process, database: Database
) -> None:
    class Slow(ModelsInference):
        async def infer(
            self, model: Model, tensor: np.ndarray, *, timeout: float, version: str = ""
        ) -> InferenceResult:
            await asyncio.sleep(0.5)
            return await super().infer(model, tensor, timeout=timeout, version=version)

    session, slow = await process.open(), Process(database, inference=Slow())
    await process.annotate(session, SIX)
    call = asyncio.create_task(slow.annotate(session, ADD))
    async with asyncio.timeout(30):
        while not call.done():
            await process.annotate(session, TAKE)
    assert len(slow.inference.tensors) <= 3, "overtaken by what ran when it began, and when it claimed its turn"
    # Nobody waits for a turn that was taken.
    assert (await process.engine._history.load(session, 1, principal=NOBODY)).claim is None


async def test_a_claim_of_a_process_that_was_killed_ends(
    process: Process, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "_CLAIM_S", 0.5)
    session, killed = await process.open(), Process(database)
    await killed.engine._history.turns.claim(session, tenant="default")
    async with asyncio.timeout(10):
        assert (await process.annotate(session, SIX, revision=0)).revision == 1, "with a revision nobody waits"
        assert (await process.annotate(session, ADD)).revision == 2


async def test_with_a_revision_the_slower_of_two_processes_gets_an_error(process: Process, database: Database) -> None:
    session = await process.open()
    other = Process(database)
    calls = [one.annotate(session, SIX, revision=0) for one in (process, other)]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert sorted(type(one).__name__ for one in results) == ["AnnotationResult", "StaleRevision"]


async def test_a_call_that_is_repeated_is_carried_out_once(process: Process, database: Database) -> None:
    session = await process.open()
    first = await process.annotate(session, SIX, request_ids=("r1",), revision=0)
    again = await process.annotate(session, SIX, request_ids=("r1",), revision=0)
    elsewhere = await Process(database).annotate(session, SIX, request_ids=("r1",), revision=0)
    assert again.mask == elsewhere.mask == first.mask
    assert again.revision == elsewhere.revision == 1
    undone = await process.engine.undo(AnnotationRequest(NOBODY, session, request_ids=("r2",)))
    assert (
        await process.engine.undo(AnnotationRequest(NOBODY, session, request_ids=("r2",)))
    ).revision == undone.revision
    with pytest.raises(errors.StaleRevision, match="carried out at revision 1"):
        await process.annotate(session, SIX, request_ids=("r1",))


async def test_a_call_for_the_cached_revision_reads_nothing_from_the_database(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await process.open()
    first = await process.annotate(session, SIX)

    async def no_read(*args: object) -> None:
        raise AssertionError("read")

    monkeypatch.setattr(process.database, "read", no_read)
    again = await process.annotate(session, ADD, revision=first.revision)
    assert (await process.annotate(session, TAKE, revision=again.revision)).revision == 3


async def test_a_call_that_is_repeated_for_a_later_revision_is_carried_out_once(process: Process) -> None:
    session = await process.open()
    first = await process.annotate(session, SIX, request_ids=("r1",), revision=0)
    again = await process.annotate(session, SIX, request_ids=("r1",), revision=1)
    assert (again.revision, again.mask) == (1, first.mask)


async def test_a_cached_state_is_checked_when_a_call_fails(process: Process, database: Database) -> None:
    session, other = await process.open(), Process(database)
    await process.annotate(session, SIX)
    await other.engine.undo(AnnotationRequest(NOBODY, session))
    with pytest.raises(errors.StaleRevision):
        await process.annotate(session, ADD, revision=1)
    await process.engine.redo(AnnotationRequest(NOBODY, session))
    await other.sessions.close(session, principal=NOBODY)
    # A click beyond the image is refused before anything is stored.
    for click in (ADD, Click((400, 0, 0))):
        with pytest.raises(errors.SessionNotFound):
            await process.annotate(session, click, revision=3)


async def test_a_new_model_of_the_session_answers_the_next_prompts(process: Process) -> None:
    session = await process.open()
    await process.annotate(session, SIX)
    await process.sessions.update(session, model="annotation", names=[], principal=NOBODY)
    assert (await process.annotate(session, SIX, revision=2)).model == "annotation"


async def test_another_process_answers_as_the_first_would(process: Process, database: Database) -> None:
    session, reference = await process.open(), await process.open()
    for one in (session, reference):
        await process.annotate(one, SIX)
    # The network sees the same, whether what it saw before is at hand or not; the second click takes over the first.
    for click in (TAKE, Click((22, 17, 16))):
        expected, other = await process.annotate(reference, click), Process(database)
        assert (await other.annotate(session, click)).mask == expected.mask
        assert np.array_equal(other.inference.tensors[-1], process.inference.tensors[-1])


async def test_a_step_that_fails_in_postprocessing_is_not_stored(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await process.open()

    def short_of_memory(*args: object, **options: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr("gateway.core.annotation.annotator.postprocess", short_of_memory)
        with pytest.raises(MemoryError):
            await process.annotate(session, SIX)
    assert (await process.annotate(session, SIX)).revision == 1


async def test_a_step_that_fails_in_rendering_is_stored_and_rendered_when_the_call_is_repeated(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, reference = await process.open(), await process.open()
    expected = await process.annotate(reference, SIX)

    def short_of_memory(*args: object, **options: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr("gateway.core.annotation.annotator.render_mask", short_of_memory)
        with pytest.raises(MemoryError):
            await process.annotate(session, SIX, request_ids=("r1",))
    asked = len(process.inference.tensors)
    again = await process.annotate(session, SIX, request_ids=("r1",))
    assert (again.revision, again.mask) == (1, expected.mask)
    assert len(process.inference.tensors) == asked


async def test_who_may_not_change_a_session_is_refused_before_its_owner_is_done(process: Process) -> None:
    session = await process.open()
    await process.annotate(session, SIX)
    stranger = caller("eve", role=Role.ANNOTATOR)
    async with process.history.lock(session, NOBODY):
        calls = (
            process.engine.undo(AnnotationRequest(stranger, session)),
            process.sessions.update(session, principal=stranger, model=None, names=[(1, "x")]),
            process.sessions.close(session, principal=stranger),
        )
        for call in calls:
            with pytest.raises(errors.PermissionDenied):
                await asyncio.wait_for(call, 5)
    # Of another tenant's session nobody says that it is there.
    with pytest.raises(errors.SessionNotFound):
        await process.engine.undo(AnnotationRequest(caller("eve", tenant="other"), session))
