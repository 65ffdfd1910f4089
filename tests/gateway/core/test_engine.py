import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import numpy as np
import pytest

from gateway.core.catalog import Catalog, Model
from gateway.core.deadline import Deadline
from gateway.core.engine import Engine, Inferred
from gateway.core.images import StoredImage
from gateway.core.sessions import Session, SessionStore
from sixpoint.errors import (
    DeadlineExceeded,
    NothingToCorrect,
    PromptError,
    PromptNotSupported,
    ResourceExhausted,
    TritonUnavailable,
)
from sixpoint.mask import PackedMask, unpack
from sixpoint.prompts import Click, ExtremePoints
from tests.gateway.core.test_processing import BOX, POINTS
from tests.harness import CLICKS_SPEC, ELLIPSOID_SPEC, clicks_answer, ellipsoid_answer, noisy_volume

PROMPT = ExtremePoints(POINTS.tolist())


class ModelsInference:
    """Computes what the test models would, here; fails as often as it is told to."""

    def __init__(self) -> None:
        self.failures = 0
        self.running = 0
        self.most_running = 0
        self.timeouts: list[float] = []
        self.tensors: list[np.ndarray] = []

    async def infer(self, model: Model, tensor: np.ndarray, *, timeout: float) -> Inferred:
        self.timeouts.append(timeout)
        if self.failures:
            self.failures -= 1
            raise TritonUnavailable("away")
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        await asyncio.sleep(0.1)
        self.running -= 1
        self.tensors.append(tensor)
        output = clicks_answer(tensor) if model.name == "clicks" else ellipsoid_answer(tensor)
        return Inferred(output, "7")


@pytest.fixture
def inference() -> ModelsInference:
    return ModelsInference()


@pytest.fixture
def engine(inference: ModelsInference) -> Engine:
    catalog = Catalog()
    catalog.update(
        {
            "annotation": Model("annotation", "7", ELLIPSOID_SPEC),
            "clicks": Model("clicks", "7", CLICKS_SPEC),
            "promptless": Model("promptless", "1", ELLIPSOID_SPEC.model_copy(update={"prompts": ()})),
        }
    )
    return Engine(catalog=catalog, inference=inference, executor=ThreadPoolExecutor(2))


def open_session(model: str = "annotation") -> Session:
    volume = noisy_volume()
    store = SessionStore(limit=1, idle=timedelta(hours=1))
    return store.create(StoredImage(volume.digest, volume), model)


async def test_an_answer_carries_mask_revision_version_and_timings(engine):
    session = open_session()
    first = await engine.annotate(session, [PROMPT], deadline=Deadline.after(10))
    second = await engine.annotate(session, [PROMPT], deadline=Deadline.after(10))
    assert (first.revision, second.revision) == (1, 2)
    assert first.version == "7"
    assert first.mask == second.mask
    assert first.mask.voxel_count > 4000
    assert first.timings.inference >= timedelta(milliseconds=90)
    assert first.timings.preprocess > timedelta()


async def test_the_time_left_is_passed_on_to_triton(engine, inference):
    await engine.annotate(open_session(), [PROMPT], deadline=Deadline.after(10))
    assert 5 < inference.timeouts[0] < 10


async def test_a_failed_prompt_leaves_the_session_as_it_was(engine, inference):
    session = open_session()
    inference.failures = 1
    with pytest.raises(TritonUnavailable):
        await engine.annotate(session, [PROMPT], deadline=Deadline.after(10))
    assert session.revision == 0
    assert (await engine.annotate(session, [PROMPT], deadline=Deadline.after(10))).revision == 1


async def test_prompts_of_one_session_are_answered_one_after_the_other(engine, inference):
    session = open_session()
    answers = await asyncio.gather(*(engine.annotate(session, [PROMPT], deadline=Deadline.after(10)) for _ in range(4)))
    assert sorted(one.revision for one in answers) == [1, 2, 3, 4]
    assert inference.most_running == 1


async def test_prompts_of_different_sessions_run_side_by_side(engine, inference):
    await asyncio.gather(*(engine.annotate(open_session(), [PROMPT], deadline=Deadline.after(10)) for _ in range(6)))
    assert inference.most_running > 1


async def test_a_model_that_takes_no_points_refuses_them(engine):
    with pytest.raises(PromptNotSupported, match="takes no prompts"):
        await engine.annotate(open_session("promptless"), [PROMPT], deadline=Deadline.after(10))


async def test_a_deadline_that_passed_never_reaches_triton(engine, inference):
    with pytest.raises(DeadlineExceeded):
        await engine.annotate(open_session(), [PROMPT], deadline=Deadline.after(0))
    assert inference.timeouts == []


async def test_a_cancelled_prompt_frees_the_session(engine):
    session = open_session()
    task = asyncio.create_task(engine.annotate(session, [PROMPT], deadline=Deadline.after(10)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await engine.annotate(session, [PROMPT], deadline=Deadline.after(10))).revision == 1


# Clicks

ADD, TAKE = Click((4, 17, 16)), Click((20, 17, 16), False)


def voxels(mask: PackedMask) -> np.ndarray:
    return unpack(mask, noisy_volume().geometry.size)


async def test_each_call_is_one_call_of_the_network_and_one_revision(engine, inference):
    session = open_session("clicks")
    await engine.annotate(session, [PROMPT, ADD], deadline=Deadline.after(10))
    answer = await engine.annotate(session, [TAKE], deadline=Deadline.after(10))
    assert len(inference.tensors) == 2
    assert (session.revision, answer.revision) == (2, 2)
    assert session.state.log == ((PROMPT, ADD), (TAKE,))
    mask = voxels(answer.mask)
    assert (mask[16, 17, 4], mask[16, 17, 20]) == (1, 0)


async def test_the_answer_so_far_is_what_the_next_click_corrects(engine, inference):
    session = open_session("clicks")
    await engine.annotate(session, [PROMPT], deadline=Deadline.after(10))
    answered = session.state.answered
    await engine.annotate(session, [TAKE], deadline=Deadline.after(10))
    first, second = inference.tensors
    assert not first[4].any()
    assert np.array_equal(second[4], (answered.probabilities / np.float32(255)).astype(np.float16))
    assert second[3].max() > 0.9


@pytest.mark.parametrize("start", [PROMPT, BOX], ids=["points", "box"])
async def test_what_begins_anew_forgets_the_clicks_and_the_answer(engine, inference, start):
    session = open_session("clicks")
    fresh = await engine.annotate(session, [start], deadline=Deadline.after(10))
    await engine.annotate(session, [ADD, TAKE], deadline=Deadline.after(10))
    anew = await engine.annotate(session, [start], deadline=Deadline.after(10))
    assert anew.mask == fresh.mask
    assert not inference.tensors[-1][2:5].any()


async def test_replaying_the_log_gives_the_same_masks(engine):
    session, again = open_session("clicks"), open_session("clicks")
    calls = [[PROMPT], [ADD], [TAKE, Click((38, 30, 30))], [BOX, TAKE], [ADD]]
    answers = [await engine.annotate(session, call, deadline=Deadline.after(10)) for call in calls]
    replayed = [await engine.annotate(again, list(call), deadline=Deadline.after(10)) for call in session.state.log]
    assert [one.mask for one in replayed] == [one.mask for one in answers]


@pytest.mark.parametrize(
    ("call", "error"),
    [
        ([Click((400, 1, 1))], PromptError),
        ([ADD, PROMPT], PromptError),
        ([], PromptError),
        ([ADD] * 1001, ResourceExhausted),
    ],
)
async def test_a_refused_call_leaves_the_state_as_it_was(engine, call, error):
    session = open_session("clicks")
    await engine.annotate(session, [PROMPT], deadline=Deadline.after(10))
    state = session.state
    with pytest.raises(error):
        await engine.annotate(session, call, deadline=Deadline.after(10))
    assert (session.state, session.revision) == (state, 1)


async def test_a_click_that_triton_failed_is_not_in_the_state(engine, inference):
    session, reference = open_session("clicks"), open_session("clicks")
    for one in (session, reference):
        await engine.annotate(one, [PROMPT], deadline=Deadline.after(10))
    state = session.state
    inference.failures = 1
    with pytest.raises(TritonUnavailable):
        await engine.annotate(session, [ADD], deadline=Deadline.after(10))
    assert session.state is state
    expected = await engine.annotate(reference, [TAKE], deadline=Deadline.after(10))
    assert (await engine.annotate(session, [TAKE], deadline=Deadline.after(10))).mask == expected.mask


async def test_clicks_before_anything_and_for_a_model_that_takes_none(engine):
    with pytest.raises(NothingToCorrect):
        await engine.annotate(open_session("clicks"), [ADD], deadline=Deadline.after(10))
    with pytest.raises(PromptNotSupported, match="'annotation' takes extreme_points; not clicks"):
        await engine.annotate(open_session(), [PROMPT, ADD], deadline=Deadline.after(10))


async def test_a_model_that_changes_its_roi_goes_on_from_the_same_answer(engine, inference):
    session = open_session("clicks")
    await engine.annotate(session, [PROMPT], deadline=Deadline.after(10))
    smaller = CLICKS_SPEC.model_copy(update={"roi": CLICKS_SPEC.roi.model_copy(update={"size": (32, 48, 40)})})
    engine._catalog.update({"clicks": Model("clicks", "8", smaller)})
    answer = await engine.annotate(session, [ADD], deadline=Deadline.after(10))
    assert inference.tensors[-1].shape == (8, 40, 48, 32)
    mask = voxels(answer.mask)
    assert (mask[16, 17, 4], mask[16, 17, 20]) == (1, 1)
