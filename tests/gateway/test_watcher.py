"""The watcher among events that no real Triton makes on demand; with a real one it is tested in test_server.py."""

from __future__ import annotations

import asyncio
import contextlib

import numpy as np
import pytest

from gateway.core.catalog import Catalog, Model
from gateway.core.outline import Inferred
from gateway.triton.watcher import Watcher
from sixpoint.errors import TritonUnavailable
from tests.harness import ELLIPSOID_SPEC


class Scripted:
    """Answers like Triton: models by name, some of which vanish between the index and their config."""

    def __init__(self) -> None:
        self.index = {"steady": "1"}
        self.vanishing: set[str] = set()
        self.failure: Exception | None = None

    async def versions(self) -> dict[str, str]:
        if self.failure:
            raise self.failure
        return self.index

    async def describe(self, name: str, version: str) -> Model:
        if name in self.vanishing:
            raise TritonUnavailable("gone")
        return Model(name, version, ELLIPSOID_SPEC)

    async def infer(self, model: Model, tensor: np.ndarray, *, timeout: float) -> Inferred:
        return Inferred(np.zeros(model.spec.output_shape, np.uint8), model.version)


@pytest.fixture
def triton() -> Scripted:
    return Scripted()


@pytest.fixture
def catalog() -> Catalog:
    return Catalog()


@pytest.fixture
def watcher(triton: Scripted, catalog: Catalog) -> Watcher:
    async def changed() -> None: ...

    return Watcher(client=triton, catalog=catalog, interval=0.01, changed=changed)  # type: ignore[arg-type]


async def test_a_model_that_vanishes_while_it_is_met_takes_no_other_away(triton, catalog, watcher):
    await watcher.look()
    triton.index, triton.vanishing = {"steady": "1", "brief": "1"}, {"brief"}
    await watcher.look()
    assert catalog.ready
    assert [model.name for model in catalog.list()] == ["steady"]
    triton.vanishing = set()
    await watcher.look()
    assert [model.name for model in catalog.list()] == ["brief", "steady"]


async def test_a_look_that_fails_unexpectedly_is_not_the_last_one(triton, catalog, watcher, caplog):
    triton.failure = ValueError("a version that is no number")
    looking = asyncio.create_task(watcher.run())
    await asyncio.sleep(0.05)
    assert not catalog.ready
    assert "looking at triton failed" in caplog.text
    triton.failure = None
    await asyncio.sleep(0.1)
    assert catalog.ready
    looking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await looking
