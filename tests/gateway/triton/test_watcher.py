"""The watcher among events that no real Triton makes on demand; with a real one it is tested in test_server.py."""

from __future__ import annotations

import asyncio
import contextlib

import numpy as np
import pytest

from gateway.core.runtime import Catalog, InferenceResult, Model
from gateway.triton.watcher import Watcher
from sixpoint.errors import DeadlineExceeded, InferenceError, SixpointError, TritonUnavailable
from sixpoint.model_spec import Candidate
from tests.support.models import ELLIPSOID_SPEC


class Scripted:
    """Answers like Triton: models by name, some of which vanish between the index and their config."""

    def __init__(self) -> None:
        self.index: dict[str, tuple[str, ...]] = {"steady": ("1",)}
        self.candidate: Candidate | None = None
        self.broken: dict[str, SixpointError] = {}
        self.tried: list[str] = []
        self.vanishing: set[str] = set()
        self.failure: Exception | None = None

    async def versions(self) -> dict[str, tuple[str, ...]]:
        if self.failure:
            raise self.failure
        return self.index

    async def describe(self, name: str, versions: tuple[str, ...]) -> Model | None:
        if name in self.vanishing:
            raise TritonUnavailable("gone")
        serving = [one for one in versions if self.candidate is None or one != self.candidate.version]
        return Model(name, serving[-1], ELLIPSOID_SPEC, self.candidate) if serving else None

    async def infer(self, model: Model, tensor: np.ndarray, *, timeout: float, version: str) -> InferenceResult:
        self.tried.append(version)
        if version in self.broken:
            raise self.broken[version]
        return InferenceResult(np.zeros(model.spec.output_shape, np.uint8), version)


@pytest.fixture
def scripted() -> Scripted:
    return Scripted()


@pytest.fixture
def catalog() -> Catalog:
    return Catalog()


class Clock:
    """A clock that the test moves."""

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watcher(scripted: Scripted, catalog: Catalog, clock: Clock) -> Watcher:
    def changed() -> None: ...

    return Watcher(client=scripted, catalog=catalog, interval=0.01, changed=changed, now=clock)  # type: ignore[arg-type]


async def test_a_model_that_vanishes_while_it_is_met_takes_no_other_away(
    scripted: Scripted, catalog: Catalog, watcher: Watcher
) -> None:
    await watcher.look()
    scripted.index, scripted.vanishing = {"steady": ("1",), "brief": ("1",)}, {"brief"}
    await watcher.look()
    assert catalog.ready
    assert [model.name for model in catalog.list(tenant="default")] == ["steady"]
    scripted.vanishing = set()
    await watcher.look()
    assert [model.name for model in catalog.list(tenant="default")] == ["brief", "steady"]


async def test_a_look_that_fails_unexpectedly_is_not_the_last_one(
    scripted: Scripted, catalog: Catalog, watcher: Watcher, caplog: pytest.LogCaptureFixture
) -> None:
    scripted.failure = ValueError("a version that is no number")
    looking = asyncio.create_task(watcher.run())
    await asyncio.sleep(0.05)
    assert not catalog.ready
    assert "looking at triton failed" in caplog.text
    scripted.failure = None
    await asyncio.sleep(0.1)
    assert catalog.ready
    looking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await looking


async def test_a_trial_begins_grows_and_ends_without_a_new_version(
    scripted: Scripted, catalog: Catalog, watcher: Watcher
) -> None:
    scripted.index = {"steady": ("1", "2")}
    scripted.candidate = Candidate("2", 0.0)
    await watcher.look()
    assert catalog.get("steady", tenant="default").version_for("anybody") == "1"
    scripted.candidate = Candidate("2", 1.0)
    await watcher.look()
    assert catalog.get("steady", tenant="default").version_for("anybody") == "2"
    scripted.candidate = None
    await watcher.look()
    assert (catalog.get("steady", tenant="default").version, catalog.get("steady", tenant="default").candidate) == (
        "2",
        None,
    )


async def test_a_model_of_which_all_is_on_trial_enters_when_that_ends(
    scripted: Scripted, catalog: Catalog, watcher: Watcher
) -> None:
    scripted.candidate = Candidate("1", 0.0)
    await watcher.look()
    assert catalog.list(tenant="default") == []
    scripted.candidate = None
    await watcher.look()
    assert [model.version for model in catalog.list(tenant="default")] == ["1"]


async def test_a_broken_version_or_candidate_leaves_the_one_that_serves(
    scripted: Scripted, catalog: Catalog, watcher: Watcher
) -> None:
    await watcher.look()
    scripted.index, scripted.broken = {"steady": ("1", "2")}, {"2": InferenceError("broken")}
    scripted.candidate = Candidate("2", 0.5)
    await watcher.look()
    assert catalog.get("steady", tenant="default") == Model("steady", "1", ELLIPSOID_SPEC)
    scripted.candidate = None
    await watcher.look()
    assert catalog.get("steady", tenant="default").version == "1"
    scripted.index = {"steady": ("2",)}
    await watcher.look()
    assert catalog.list(tenant="default") == []


@pytest.mark.parametrize("failure", [InferenceError("out of memory"), DeadlineExceeded("busy")])
async def test_a_model_whose_trial_failed_is_tried_ever_more_rarely_and_enters_when_it_answers(
    scripted: Scripted,
    catalog: Catalog,
    watcher: Watcher,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
    failure: SixpointError,
) -> None:
    scripted.broken = {"1": failure}
    await watcher.look()
    for pause in (5, 10, 20, 40, 60, 60):
        scripted.tried.clear()
        clock.seconds += pause - 1
        await watcher.look()
        assert scripted.tried == []
        clock.seconds += 1
        await watcher.look()
        assert scripted.tried == ["1"]
    assert catalog.list(tenant="default") == []
    assert [record.levelname for record in caplog.records].count("ERROR") == 1
    scripted.broken = {}
    clock.seconds += 60
    await watcher.look()
    await watcher.look()
    assert [model.version for model in catalog.list(tenant="default")] == ["1"]
    assert scripted.tried == ["1", "1"]


async def test_a_candidate_whose_trial_failed_is_tried_again_and_the_serving_version_is_not(
    scripted: Scripted, catalog: Catalog, watcher: Watcher, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    scripted.index, scripted.broken = {"steady": ("1", "2")}, {"2": InferenceError("out of memory")}
    scripted.candidate = Candidate("2", 1.0)
    for _ in range(3):
        await watcher.look()
    assert scripted.tried == ["1", "2"]
    assert catalog.get("steady", tenant="default").candidate is None
    clock.seconds += 5
    await watcher.look()
    assert scripted.tried == ["1", "2", "2"]
    scripted.broken = {}
    clock.seconds += 10
    await watcher.look()
    assert catalog.get("steady", tenant="default").version_for("anybody") == "2"
    assert [record.levelname for record in caplog.records].count("ERROR") == 1


async def test_a_version_that_failed_is_tried_at_once_when_its_config_changed(
    scripted: Scripted, catalog: Catalog, watcher: Watcher
) -> None:
    scripted.index, scripted.broken = {"steady": ("1", "2")}, {"2": InferenceError("out of memory")}
    await watcher.look()
    assert catalog.list(tenant="default") == []
    scripted.candidate = Candidate("2", 0.5)
    await watcher.look()
    assert catalog.get("steady", tenant="default") == Model("steady", "1", ELLIPSOID_SPEC)
    scripted.broken, scripted.candidate = {}, None
    await watcher.look()
    assert catalog.get("steady", tenant="default").version == "2"
