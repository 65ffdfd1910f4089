"""A gateway process without its edges: the engine on a real database, with networks whose answers are known."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from sqlalchemy import insert

from gateway.core.annotation.annotator import Annotator
from gateway.core.images.stored_image import StoredImage
from gateway.core.runtime import Admission, Catalog, Deadline, InferenceResult, Model
from gateway.core.sessions.engine import Engine
from gateway.core.sessions.history import SegmentHistory
from gateway.core.sessions.log_quota import LogLimits, LogQuota
from gateway.core.sessions.records import StepRow
from gateway.core.sessions.request import AnnotationRequest, AnnotationResult
from gateway.core.sessions.sessions import Sessions
from gateway.core.sessions.state_cache import SegmentStateCache
from gateway.storage.database import Database
from gateway.storage.repository import session_maintenance, session_repository
from gateway.storage.schema import images
from sixpoint import errors
from sixpoint.mask import PackedMask, unpack
from sixpoint.prompts import Prompt
from tests.support.callers import NOBODY, caller
from tests.support.images import noisy_volume
from tests.support.models import CLICKS_SPEC, ELLIPSOID_SPEC, clicks_answer, ellipsoid_answer

__all__ = ["VOLUME", "ModelsInference", "Process", "database_with_image", "voxels"]

VOLUME = noisy_volume()


class ModelsInference:
    """Computes what the test models would, here; fails as often as it is told to."""

    def __init__(self) -> None:
        self.failures = 0
        self.running = 0
        self.max_running = 0
        self.timeouts: list[float] = []
        self.tensors: list[np.ndarray] = []

    async def infer(self, model: Model, tensor: np.ndarray, *, timeout: float, version: str = "") -> InferenceResult:
        self.timeouts.append(timeout)
        if self.failures:
            self.failures -= 1
            raise errors.TritonUnavailable("away")
        self.running += 1
        self.max_running = max(self.max_running, self.running)
        await asyncio.sleep(0.05)
        self.running -= 1
        self.tensors.append(tensor)
        output = clicks_answer(tensor) if model.name == "clicks" else ellipsoid_answer(tensor)
        return InferenceResult(output, version or model.version)


class OneImage:
    """Keeps the one image of these tests."""

    async def open(self, digest: str, *, tenant: str) -> StoredImage:
        assert (digest, tenant) == (VOLUME.digest, "default")
        return StoredImage(digest, VOLUME)


@dataclass
class Process:
    """A gateway process without its edges."""

    database: Database
    inference: ModelsInference = field(default_factory=ModelsInference)
    max_prompts: int = 100
    memory: int = 2**30
    log_limits: LogLimits = field(default_factory=LogLimits)

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
        repository = session_repository(self.database)
        quota = LogQuota(self.log_limits, maintenance=session_maintenance(self.database))
        self.history = log = SegmentHistory(repository=repository, cache=hot, quota=quota)
        self.sessions = Sessions(
            repository=repository, history=log, cache=hot, quota=quota, limit=99, owner_limit=0, idle=3600
        )
        self.admission = Admission(budget=self.memory, max_active=self.max_prompts)
        self.engine = Engine(
            history=log,
            images=OneImage(),
            catalog=self.catalog,
            annotator=Annotator(inference=self.inference, executor=ThreadPoolExecutor(2)),
            admission=self.admission,
        )

    async def open(self, model: str = "clicks") -> str:
        return (await self.sessions.create(principal=caller(""), digest=VOLUME.digest, model=model)).row.id

    async def steps(self, session_id: str) -> list[tuple[StepRow, bool]]:
        return list((await self.sessions.steps(session_id, principal=NOBODY)).steps)

    async def annotate(self, session_id: str, *prompts: Prompt, **conditions: object) -> AnnotationResult:
        target = AnnotationRequest(NOBODY, session_id, **conditions)  # type: ignore[arg-type]
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
