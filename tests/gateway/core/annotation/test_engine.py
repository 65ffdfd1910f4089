"""The engine on a real database, with networks whose answers are known: steps, ways back and forth, who was faster."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import insert

from gateway.core.annotation.annotator import Annotator
from gateway.core.images.store import StoredImage
from gateway.core.runtime.admission import Admission
from gateway.core.runtime.catalog import Catalog, Model
from gateway.core.runtime.deadline import Deadline
from gateway.core.runtime.inference import InferenceResult
from gateway.core.runtime.stage import Stage
from gateway.core.sessions.engine import Engine
from gateway.core.sessions.history import SegmentHistory
from gateway.core.sessions.request import AnnotationRequest, AnnotationResult
from gateway.core.sessions.sessions import Sessions
from gateway.core.sessions.state_cache import SegmentStateCache
from gateway.storage.database import Database
from gateway.storage.repository import session_repository
from gateway.storage.schema import images
from sixpoint import errors
from sixpoint.mask import PackedMask, unpack
from sixpoint.model_spec import Candidate
from sixpoint.prompts import Click, ExtremePoints, InitialMask, Prompt
from tests.gateway.core.annotation.test_processing import BOX, POINTS
from tests.support.images import noisy_volume
from tests.support.models import CLICKS_SPEC, ELLIPSOID_SPEC, clicks_answer, ellipsoid_answer

SIX = ExtremePoints(POINTS.tolist())
ADD, TAKE = Click((4, 17, 16)), Click((20, 17, 16), False)
VOLUME = noisy_volume()


class ModelsInference:
    """Computes what the test models would, here; fails as often as it is told to."""

    def __init__(self) -> None:
        self.failures = 0
        self.running = 0
        self.most_running = 0
        self.timeouts: list[float] = []
        self.tensors: list[np.ndarray] = []

    async def infer(self, model: Model, tensor: np.ndarray, *, timeout: float, version: str = "") -> InferenceResult:
        self.timeouts.append(timeout)
        if self.failures:
            self.failures -= 1
            raise errors.TritonUnavailable("away")
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        await asyncio.sleep(0.05)
        self.running -= 1
        self.tensors.append(tensor)
        output = clicks_answer(tensor) if model.name == "clicks" else ellipsoid_answer(tensor)
        return InferenceResult(output, version or model.version)


class OneImage:
    """Keeps the one image of these tests."""

    async def open(self, digest: str) -> StoredImage:
        assert digest == VOLUME.digest
        return StoredImage(digest, VOLUME)


@dataclass
class Process:
    """A gateway process without its edges."""

    database: Database
    inference: ModelsInference = field(default_factory=ModelsInference)
    most: int = 100

    def __post_init__(self) -> None:
        self.catalog = Catalog()
        self.catalog.update(
            {
                "annotation": Model("annotation", "7", ELLIPSOID_SPEC),
                "clicks": Model("clicks", "7", CLICKS_SPEC),
                "promptless": Model("promptless", "1", ELLIPSOID_SPEC.model_copy(update={"prompts": ()})),
            }
        )
        hot = SegmentStateCache(2**28)
        log = SegmentHistory(repository=session_repository(self.database), cache=hot)
        self.sessions = Sessions(
            repository=session_repository(self.database), history=log, cache=hot, limit=99, owner_limit=0, idle=3600
        )
        self.engine = Engine(
            history=log,
            images=OneImage(),
            catalog=self.catalog,
            annotator=Annotator(inference=self.inference, executor=ThreadPoolExecutor(2)),
            admission=Admission(budget=2**30, max_active=self.most),
        )

    async def open(self, model: str = "clicks") -> str:
        return (await self.sessions.create(owner="", digest=VOLUME.digest, model=model)).row.id

    async def annotate(self, session_id: str, *prompts: Prompt, **conditions: object) -> AnnotationResult:
        target = AnnotationRequest(session_id, **conditions)  # type: ignore[arg-type]
        return await self.engine.annotate(target, prompts, deadline=Deadline.after(10))


@contextlib.asynccontextmanager
async def database_with_image(folder: Path) -> AsyncIterator[Database]:
    """A database that knows the image of these tests."""
    database = Database(f"sqlite:///{folder}/sixpoint.db")
    await database.start()
    geometry = {name: list(getattr(VOLUME.geometry, name)) for name in ("size", "spacing", "origin", "direction")}
    row = {"digest": VOLUME.digest, "geometry": geometry, "voxel_type": 3, "byte_count": 1, "owner": "", "created": 0}
    await database.write(lambda conn: conn.execute(insert(images).values(row | {"used": 0})))
    yield database
    await database.stop()


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with database_with_image(tmp_path) as database:
        yield database


@pytest.fixture
def process(database: Database) -> Process:
    return Process(database)


def voxels(packed: PackedMask, before: np.ndarray | None = None) -> np.ndarray:
    """The whole mask, uint8 [z, y, x], of what came; a change is put into the one before."""
    came = unpack(packed, VOLUME.geometry.size)
    if not packed.base_revision:
        return came
    assert before is not None
    result = before.copy()
    (x0, y0, z0), (x1, y1, z1) = packed.lower, packed.upper
    result[z0:z1, y0:y1, x0:x1] = came[z0:z1, y0:y1, x0:x1]
    return result


async def test_an_answer_carries_mask_revision_version_and_timings(process):
    session = await process.open("annotation")
    first, second = await process.annotate(session, SIX), await process.annotate(session, SIX)
    assert (first.revision, second.revision) == (1, 2)
    assert (first.segment.head, first.segment.length) == (1, 1)
    assert (first.model, first.version) == ("annotation", "7")
    assert first.mask == second.mask
    assert first.mask.voxel_count > 4000
    assert first.timings.inference >= timedelta(milliseconds=45)
    assert min(first.timings.preprocess, first.timings.postprocess, first.timings.store) > timedelta()


async def test_the_time_left_is_passed_on_to_triton(process):
    await process.annotate(await process.open(), SIX)
    assert 5 < process.inference.timeouts[0] < 10


async def test_the_way_of_a_call_is_told(process):
    told: list[Stage] = []
    target = AnnotationRequest(await process.open())
    await process.engine.annotate(target, [SIX], deadline=Deadline.after(10), on_stage=told.append)
    assert told == list(Stage)


async def test_prompts_of_one_session_are_answered_one_after_the_other(process):
    session = await process.open()
    answers = await asyncio.gather(*(process.annotate(session, SIX) for _ in range(4)))
    assert sorted(one.revision for one in answers) == [1, 2, 3, 4]
    assert process.inference.most_running == 1


async def test_prompts_of_different_sessions_run_side_by_side(process):
    sessions = [await process.open() for _ in range(6)]
    await asyncio.gather(*(process.annotate(session, SIX) for session in sessions))
    assert process.inference.most_running > 1


async def test_too_many_at_once_are_told_to_come_again(database):
    process = Process(database, most=2)
    sessions = [await process.open() for _ in range(5)]
    results = await asyncio.gather(*(process.annotate(one, SIX) for one in sessions), return_exceptions=True)
    refused = [one for one in results if isinstance(one, errors.ResourceExhausted)]
    assert len(refused) == 3
    assert all(one.retry_after for one in refused)


async def test_a_deadline_that_passed_never_reaches_triton(process):
    with pytest.raises(errors.DeadlineExceeded):
        await process.engine.annotate(AnnotationRequest(await process.open()), [SIX], deadline=Deadline.after(0))
    assert process.inference.timeouts == []


async def test_a_cancelled_prompt_frees_the_session(process):
    session = await process.open()
    task = asyncio.create_task(process.annotate(session, SIX))
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await process.annotate(session, SIX)).revision == 1


async def test_a_model_that_takes_no_points_refuses_them(process):
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
async def test_a_refused_call_leaves_the_session_as_it_was(process, call: Sequence[Prompt], error):
    session = await process.open()
    await process.annotate(session, SIX)
    before = await process.engine.mask(AnnotationRequest(session))
    with pytest.raises(error):
        await process.annotate(session, *call)
    after = await process.engine.mask(AnnotationRequest(session))
    assert (after.mask, after.revision) == (before.mask, 1)


async def test_a_click_that_triton_failed_is_as_if_it_was_never_made(process):
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
async def test_numbers_that_are_none_are_an_error_and_the_session_is_as_it_was(process, monkeypatch, value: float):
    session = await process.open()
    before = await process.annotate(session, SIX)

    async def infer(model: Model, tensor: np.ndarray, *, timeout: float, version: str = "") -> InferenceResult:
        output = clicks_answer(tensor)
        return InferenceResult(np.where(output == output.max(), np.float32(value), output), version or model.version)

    monkeypatch.setattr(process.inference, "infer", infer)
    with pytest.raises(errors.InferenceError, match="NaN or infinite"):
        await process.annotate(session, ADD)
    after = await process.engine.mask(AnnotationRequest(session))
    assert (after.mask, after.revision) == (before.mask, before.revision)


async def test_a_version_on_trial_answers_its_share_of_the_sessions(process):
    trial = Candidate(version="8", share=0.5)
    process.catalog.update({"clicks": Model("clicks", "7", CLICKS_SPEC, trial)})
    sessions = [await process.open() for _ in range(12)]
    versions = [(await process.annotate(one, SIX)).version for one in sessions]
    assert versions == ["8" if trial.serves(one) else "7" for one in sessions]
    assert {(await process.annotate(one, ADD)).version for one in sessions if trial.serves(one)} <= {"8"}


# Clicks


async def test_each_call_is_one_call_of_the_network_and_one_step(process):
    session = await process.open()
    await process.annotate(session, SIX, ADD)
    answer = await process.annotate(session, TAKE)
    assert len(process.inference.tensors) == 2
    steps = await process.sessions.steps(session)
    assert [row.prompts for row, _ in steps] == [(SIX, ADD), (TAKE,)]
    mask = voxels(answer.mask)
    assert (mask[16, 17, 4], mask[16, 17, 20]) == (1, 0)


async def test_the_answer_so_far_is_what_the_next_click_corrects(process):
    session = await process.open()
    await process.annotate(session, SIX)
    await process.annotate(session, TAKE)
    first, second = process.inference.tensors
    assert not first[4].any()
    answered = ellipsoid_answer(first, CLICKS_SPEC)[0] / np.float32(255)
    assert np.allclose(second[4], answered, atol=1e-3)
    assert second[3].max() > 0.9


@pytest.mark.parametrize("start", [SIX, BOX], ids=["points", "box"])
async def test_what_begins_anew_forgets_the_clicks_and_the_answer(process, start):
    session = await process.open()
    fresh = await process.annotate(session, start)
    await process.annotate(session, ADD, TAKE)
    anew = await process.annotate(session, start)
    assert anew.mask == fresh.mask
    assert not process.inference.tensors[-1][2:5].any()


async def test_replaying_the_log_gives_the_same_masks(process):
    session, again = await process.open(), await process.open()
    calls: list[list[Prompt]] = [[SIX], [ADD], [TAKE, Click((38, 30, 30))], [BOX, TAKE], [ADD]]
    answers = [await process.annotate(session, *call) for call in calls]
    steps = await process.sessions.steps(session)
    replayed = [await process.annotate(again, *row.prompts) for row, _ in steps]
    assert [one.mask for one in replayed] == [one.mask for one in answers]


async def test_clicks_before_anything_are_told_how_to_begin(process):
    with pytest.raises(errors.NothingToCorrect, match="start with"):
        await process.annotate(await process.open(), ADD)


async def test_a_model_that_changes_its_roi_goes_on_from_the_same_answer(process):
    session = await process.open()
    await process.annotate(session, SIX)
    smaller = CLICKS_SPEC.model_copy(update={"roi": CLICKS_SPEC.roi.model_copy(update={"size": (32, 48, 40)})})
    process.catalog.update({"clicks": Model("clicks", "8", smaller)})
    answer = await process.annotate(session, ADD)
    assert process.inference.tensors[-1].shape == (8, 40, 48, 32)
    assert answer.version == "8"
    mask = voxels(answer.mask)
    assert (mask[16, 17, 4], mask[16, 17, 20]) == (1, 1)


# Back and forth


async def test_undo_and_redo_give_the_masks_that_were_given(process):
    session = await process.open()
    calls: list[list[Prompt]] = [[SIX], [ADD], [TAKE], [BOX], [Click((9, 9, 9))]]
    given = [(await process.annotate(session, *call)).mask for call in calls]
    asked = len(process.inference.tensors)
    undone = [(await process.engine.undo(AnnotationRequest(session))).mask for _ in range(5)]
    assert undone[:4] == given[3::-1]
    assert undone[4].voxel_count == 0
    with pytest.raises(errors.NothingToUndo):
        await process.engine.undo(AnnotationRequest(session))
    assert [(await process.engine.redo(AnnotationRequest(session))).mask for _ in range(5)] == given
    with pytest.raises(errors.NothingToRedo):
        await process.engine.redo(AnnotationRequest(session))
    assert len(process.inference.tensors) == asked, "nothing was computed anew"


async def test_reset_can_be_redone_and_corrections_go_on_from_there(process):
    session, reference = await process.open(), await process.open()
    for one in (session, reference):
        await process.annotate(one, SIX)
    emptied = await process.engine.reset(AnnotationRequest(session))
    assert (emptied.mask.voxel_count, emptied.segment.head, emptied.segment.length, emptied.model) == (0, 0, 1, "")
    assert (await process.engine.reset(AnnotationRequest(session))).revision == emptied.revision, (
        "nothing to reset is no change"
    )
    with pytest.raises(errors.NothingToCorrect):
        await process.annotate(session, ADD)
    await process.engine.redo(AnnotationRequest(session))
    corrected, expected = await process.annotate(session, ADD), await process.annotate(reference, ADD)
    assert corrected.mask == expected.mask
    with pytest.raises(errors.NothingToRedo):
        await process.engine.redo(AnnotationRequest(session))


async def test_segments_of_a_session_do_not_touch_each_other(process):
    session = await process.open()
    first = await process.annotate(session, SIX)
    await process.annotate(session, BOX, segment=2)
    await process.annotate(session, TAKE, segment=2)
    await process.engine.undo(AnnotationRequest(session, segment=2))
    mask = await process.engine.mask(AnnotationRequest(session))
    assert (mask.mask, mask.revision) == (first.mask, 4)
    assert (await process.engine.mask(AnnotationRequest(session, segment=9))).mask.voxel_count == 0


# Who was faster


async def test_a_call_for_another_revision_is_refused(process):
    session = await process.open()
    await process.annotate(session, SIX, revision=0)
    with pytest.raises(errors.StaleRevision, match="revision 1, the call was made for 0"):
        await process.annotate(session, ADD, revision=0)
    with pytest.raises(errors.StaleRevision):
        await process.engine.undo(AnnotationRequest(session, revision=7))
    assert len(process.inference.tensors) == 1


async def test_two_processes_on_one_session_lose_no_prompt(process, database):
    session = await process.open()
    await process.annotate(session, SIX)
    others = [process, Process(database), Process(database)]
    clicks = [Click((x, 17, 16)) for x in (3, 4, 5)]
    await asyncio.gather(*(one.annotate(session, click) for one, click in zip(others, clicks, strict=True)))
    steps = await process.sessions.steps(session)
    shown = list(itertools.chain.from_iterable(row.prompts for row, _ in steps))
    assert shown[0] == SIX
    assert sorted(shown[1:], key=lambda click: click.point) == clicks
    mask = voxels((await Process(database).engine.mask(AnnotationRequest(session))).mask)
    assert mask[16, 17, 3:6].all()


async def test_with_a_revision_the_slower_of_two_processes_is_told(process, database):
    session = await process.open()
    other = Process(database)
    calls = [one.annotate(session, SIX, revision=0) for one in (process, other)]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert sorted(type(one).__name__ for one in results) == ["AnnotationResult", "StaleRevision"]


async def test_a_call_that_is_repeated_is_carried_out_once(process, database):
    session = await process.open()
    first = await process.annotate(session, SIX, request_ids=("r1",), revision=0)
    again = await process.annotate(session, SIX, request_ids=("r1",), revision=0)
    elsewhere = await Process(database).annotate(session, SIX, request_ids=("r1",), revision=0)
    assert again.mask == elsewhere.mask == first.mask
    assert again.revision == elsewhere.revision == 1
    undone = await process.engine.undo(AnnotationRequest(session, request_ids=("r2",)))
    assert (await process.engine.undo(AnnotationRequest(session, request_ids=("r2",)))).revision == undone.revision
    with pytest.raises(errors.StaleRevision, match="carried out at revision 1"):
        await process.annotate(session, SIX, request_ids=("r1",))


async def test_a_call_for_the_revision_at_hand_asks_the_database_nothing_before_it_is_answered(process, monkeypatch):
    session = await process.open()
    first = await process.annotate(session, SIX)

    async def no_read(*args: object) -> None:
        raise AssertionError("read")

    monkeypatch.setattr(process.database, "read", no_read)
    again = await process.annotate(session, ADD, revision=first.revision)
    assert (await process.annotate(session, TAKE, revision=again.revision)).revision == 3


async def test_a_call_that_is_repeated_for_a_later_revision_is_carried_out_once(process):
    session = await process.open()
    first = await process.annotate(session, SIX, request_ids=("r1",), revision=0)
    again = await process.annotate(session, SIX, request_ids=("r1",), revision=1)
    assert (again.revision, again.mask) == (1, first.mask)


async def test_what_is_at_hand_is_not_believed_when_a_call_for_it_fails(process, database):
    session, other = await process.open(), Process(database)
    await process.annotate(session, SIX)
    await other.engine.undo(AnnotationRequest(session))
    with pytest.raises(errors.StaleRevision):
        await process.annotate(session, ADD, revision=1)
    await process.engine.redo(AnnotationRequest(session))
    await other.sessions.close(session)
    # A click beyond the image is refused before anything is stored.
    for click in (ADD, Click((400, 0, 0))):
        with pytest.raises(errors.SessionNotFound):
            await process.annotate(session, click, revision=3)


async def test_another_model_answers_the_prompts_to_come_for_the_revision_at_hand_too(process):
    session = await process.open()
    await process.annotate(session, SIX)
    await process.sessions.update(session, model="annotation", names=[])
    assert (await process.annotate(session, SIX, revision=2)).model == "annotation"


async def test_another_process_answers_as_the_first_would(process, database):
    session, reference = await process.open(), await process.open()
    for one in (session, reference):
        await process.annotate(one, SIX)
    # The network sees the same, whether what it saw before is at hand or not; the second click takes over the first.
    for click in (TAKE, Click((22, 17, 16))):
        expected, other = await process.annotate(reference, click), Process(database)
        assert (await other.annotate(session, click)).mask == expected.mask
        assert np.array_equal(other.inference.tensors[-1], process.inference.tensors[-1])


async def test_a_step_whose_answer_cannot_be_corrected_was_never_made(process, monkeypatch):
    session = await process.open()

    def short_of_memory(*args: object, **options: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr("gateway.core.annotation.annotator.postprocess", short_of_memory)
        with pytest.raises(MemoryError):
            await process.annotate(session, SIX)
    assert (await process.annotate(session, SIX)).revision == 1


async def test_a_step_whose_mask_cannot_be_drawn_is_stored_and_drawn_when_the_call_is_repeated(process, monkeypatch):
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


# What changed


async def test_a_caller_that_has_the_mask_gets_what_changed(process):
    session, reference = await process.open(), await process.open()
    have = voxels((await process.annotate(session, SIX)).mask)
    await process.annotate(reference, SIX)
    for number, (call, whole) in enumerate(
        [
            (process.annotate(session, ADD, base_revision=1), process.annotate(reference, ADD)),
            (process.annotate(session, TAKE, base_revision=2), process.annotate(reference, TAKE)),
            (
                process.engine.undo(AnnotationRequest(session, base_revision=3)),
                process.engine.undo(AnnotationRequest(reference)),
            ),
            (
                process.engine.reset(AnnotationRequest(session, base_revision=4)),
                process.engine.reset(AnnotationRequest(reference)),
            ),
            (
                process.engine.redo(AnnotationRequest(session, base_revision=5)),
                process.engine.redo(AnnotationRequest(reference)),
            ),
        ],
        1,
    ):
        answer, expected = await call, await whole
        assert answer.mask.base_revision == number
        have = voxels(answer.mask, have)
        assert np.array_equal(have, voxels(expected.mask))
        assert answer.mask.voxel_count == np.count_nonzero(have)


async def test_a_caller_that_has_another_mask_gets_the_whole_one(process, database):
    session = await process.open()
    await process.annotate(session, SIX)
    await process.annotate(session, ADD)
    for base in (1, 3, 99, -1):
        assert (await process.annotate(session, TAKE, base_revision=base)).mask.base_revision in (0, base)
        assert (await process.engine.mask(AnnotationRequest(session, base_revision=1))).mask.base_revision == 0
    assert (await Process(database).engine.mask(AnnotationRequest(session, base_revision=6))).mask.base_revision == 0


async def test_a_new_object_comes_whole(process):
    session = await process.open()
    await process.annotate(session, SIX)
    assert (await process.annotate(session, SIX, base_revision=1)).mask.base_revision == 0


async def test_when_nothing_changed_an_empty_box_says_so(process):
    session = await process.open()
    whole = await process.annotate(session, SIX)
    answer = await process.engine.mask(AnnotationRequest(session, base_revision=1))
    assert answer.mask.lower == answer.mask.upper
    assert (answer.mask.base_revision, answer.mask.voxel_count) == (1, whole.mask.voxel_count)


# A mask to correct


def two_balls() -> np.ndarray:
    z, y, x = np.indices(VOLUME.array.shape)
    balls = ((x - 12) ** 2 + (y - 17) ** 2 + (z - 16) ** 2 < 50) | ((x - 30) ** 2 + (y - 17) ** 2 + (z - 16) ** 2 < 20)
    # A border finer than any network's grid.
    return balls & ((x + y + z) % 7 > 0)


async def test_a_mask_is_the_answer_until_clicks_change_it(process, database):
    session, mask = await process.open(), two_balls()
    answer = await process.annotate(session, InitialMask.of(mask))
    assert np.array_equal(voxels(answer.mask), mask)
    assert (answer.version, process.inference.tensors) == ("", [])
    corrected = voxels((await process.annotate(session, Click((12, 17, 16), False))).mask)
    assert corrected[16, 17, 12] == 0
    far = np.zeros_like(mask)
    far[:, :, 24:] = True
    assert np.array_equal(corrected[far], mask[far]), "the other ball is as it was"
    added = voxels((await Process(database).annotate(session, Click((21, 30, 25)))).mask)
    assert added[25, 30, 21] == 1
    assert np.array_equal(added[:, :, 28:], mask[:, :, 28:])


async def test_a_mask_and_a_click_may_come_together(process):
    session, mask = await process.open(), two_balls()
    together = voxels((await process.annotate(session, InitialMask.of(mask), Click((12, 17, 16), False))).mask)
    one, two = await process.open(), voxels
    await process.annotate(one, InitialMask.of(mask))
    apart = two((await process.annotate(one, Click((12, 17, 16), False))).mask)
    assert np.array_equal(together, apart)


async def test_a_mask_of_another_grid_or_none_is_refused(process):
    session = await process.open()
    with pytest.raises(errors.PromptError, match="another grid"):
        await process.annotate(session, InitialMask.of(np.ones((4, 4, 4))))
    with pytest.raises(errors.PromptError, match="empty"):
        InitialMask.of(np.zeros((4, 4, 4)))
