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
from sixpoint.errors import DeadlineExceeded, PromptNotSupported, TritonUnavailable
from sixpoint.prompts import ExtremePoints
from tests.gateway.core.test_processing import POINTS, answer
from tests.harness import ELLIPSOID_SPEC, noisy_volume

PROMPT = ExtremePoints(POINTS.tolist())


class EllipsoidInference:
    """Computes what the test model would, here; fails as often as it is told to."""

    def __init__(self) -> None:
        self.failures = 0
        self.running = 0
        self.most_running = 0
        self.timeouts: list[float] = []

    async def infer(self, model: Model, tensor: np.ndarray, *, timeout: float) -> Inferred:
        self.timeouts.append(timeout)
        if self.failures:
            self.failures -= 1
            raise TritonUnavailable("away")
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        await asyncio.sleep(0.1)
        self.running -= 1
        return Inferred(answer(tensor), "7")


@pytest.fixture
def inference() -> EllipsoidInference:
    return EllipsoidInference()


@pytest.fixture
def engine(inference: EllipsoidInference) -> Engine:
    catalog = Catalog()
    catalog.update(
        {
            "annotation": Model("annotation", "7", ELLIPSOID_SPEC),
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
    first = await engine.annotate(session, PROMPT, deadline=Deadline.after(10))
    second = await engine.annotate(session, PROMPT, deadline=Deadline.after(10))
    assert (first.revision, second.revision) == (1, 2)
    assert first.version == "7"
    assert first.mask == second.mask
    assert first.mask.voxel_count > 4000
    assert first.timings.inference >= timedelta(milliseconds=90)
    assert first.timings.preprocess > timedelta()


async def test_the_time_left_is_passed_on_to_triton(engine, inference):
    await engine.annotate(open_session(), PROMPT, deadline=Deadline.after(10))
    assert 5 < inference.timeouts[0] < 10


async def test_a_failed_prompt_leaves_the_session_as_it_was(engine, inference):
    session = open_session()
    inference.failures = 1
    with pytest.raises(TritonUnavailable):
        await engine.annotate(session, PROMPT, deadline=Deadline.after(10))
    assert session.revision == 0
    assert (await engine.annotate(session, PROMPT, deadline=Deadline.after(10))).revision == 1


async def test_prompts_of_one_session_are_answered_one_after_the_other(engine, inference):
    session = open_session()
    answers = await asyncio.gather(*(engine.annotate(session, PROMPT, deadline=Deadline.after(10)) for _ in range(4)))
    assert sorted(one.revision for one in answers) == [1, 2, 3, 4]
    assert inference.most_running == 1


async def test_prompts_of_different_sessions_run_side_by_side(engine, inference):
    await asyncio.gather(*(engine.annotate(open_session(), PROMPT, deadline=Deadline.after(10)) for _ in range(6)))
    assert inference.most_running > 1


async def test_a_model_that_takes_no_points_refuses_them(engine):
    with pytest.raises(PromptNotSupported, match="promptless"):
        await engine.annotate(open_session("promptless"), PROMPT, deadline=Deadline.after(10))


async def test_a_deadline_that_passed_never_reaches_triton(engine, inference):
    with pytest.raises(DeadlineExceeded):
        await engine.annotate(open_session(), PROMPT, deadline=Deadline.after(0))
    assert inference.timeouts == []


async def test_a_cancelled_prompt_frees_the_session(engine):
    session = open_session()
    task = asyncio.create_task(engine.annotate(session, PROMPT, deadline=Deadline.after(10)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await engine.annotate(session, PROMPT, deadline=Deadline.after(10))).revision == 1
