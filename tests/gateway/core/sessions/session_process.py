"""One gateway process's sessions on a database, without edges and without a network."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from sqlalchemy import insert

from gateway.core.access import NO_AUDIT, Auditor
from gateway.core.annotation.preprocess import Prediction
from gateway.core.annotation.prompt_state import accumulate, read_prompts
from gateway.core.sessions import (
    LogLimits,
    LogQuota,
    SegmentHistory,
    SegmentStateCache,
    Session,
    SessionExpiry,
    Sessions,
    StepRow,
)
from gateway.core.sessions.history import Snapshot
from gateway.core.sessions.segment_state import SegmentState
from gateway.storage import Database, session_maintenance, session_repository
from gateway.storage.geometries import geometry_to_json
from gateway.storage.schema import images
from sixpoint.geometry import Geometry
from sixpoint.preprocessing import Roi
from sixpoint.prompts import Box, Prompt
from tests.support.callers import NOBODY, caller

DIGEST, OTHER = "d" * 64, "f" * 64
"""Digests of the two images in the database."""
GEOMETRY = Geometry(size=(20, 18, 16))
"""Geometry of both images."""
BOX = Box((2, 3, 4), (9, 8, 7))
IDLE = 1000.0
"""Seconds after which an unused session ends."""


@dataclass
class Clock:
    """A clock that tests set."""

    seconds: float = 1e9

    def __call__(self) -> float:
        return self.seconds


async def add_images(database: Database) -> None:
    """Add the records of both images."""
    row = {
        "geometry": geometry_to_json(GEOMETRY),
        "voxel_type": 3,
        "byte_count": 1,
        "owner": "",
        "created": 0,
        "used": 0,
    }
    rows = [{**row, "digest": digest} for digest in (DIGEST, OTHER)]
    await database.write(lambda conn: conn.execute(insert(images), rows))


@dataclass
class SessionProcess:
    """The sessions of one gateway process on a database."""

    database: Database
    clock: Clock
    limit: int = 100
    owner_limit: int = 0
    budget: int = 2**24
    log_limits: LogLimits = field(default_factory=LogLimits)
    audited: bool = False
    auditor: Auditor = NO_AUDIT

    def __post_init__(self) -> None:
        repository = session_repository(self.database, audited=self.audited)
        maintenance = session_maintenance(self.database)
        self.cache = SegmentStateCache(self.budget)
        quota = LogQuota(self.log_limits, maintenance=maintenance, now=self.clock)
        self.history = SegmentHistory(repository=repository, cache=self.cache, quota=quota, now=self.clock)
        self.sessions = Sessions(
            repository=repository,
            history=self.history,
            cache=self.cache,
            quota=quota,
            limit=self.limit,
            owner_limit=self.owner_limit,
            idle=IDLE,
            auditor=self.auditor,
            now=self.clock,
        )
        self.expiry = SessionExpiry(maintenance=maintenance, cache=self.cache, idle=IDLE, now=self.clock)

    async def open(self, owner: str = "", request_id: str = "") -> Session:
        """Open a session on the first image."""
        return await self.sessions.create(principal=caller(owner), digest=DIGEST, model="m", request_id=request_id)

    async def steps(self, session_id: str, *, segment: int = 0) -> list[tuple[StepRow, bool]]:
        """The steps of a session, and whether each is in force."""
        return list((await self.sessions.steps(session_id, segment=segment, principal=NOBODY)).steps)

    async def state_at(self, session_id: str, segment: int, step: int) -> SegmentState:
        """The state of a segment after a step."""
        row = (await self.sessions.get(session_id, principal=NOBODY)).row
        return await self.history.state_at(row, segment, step)

    async def annotate(
        self, session_id: str, *prompts: Prompt, segment: int = 1, request_id: str = "", version: str = "3"
    ) -> Snapshot:
        """Add a step with a made-up prediction; return the segment as it is loaded after it."""
        loaded = await self.history.load(session_id, segment, principal=NOBODY)
        state = self.state_after(loaded, *prompts, version=version)
        await self.history.append(loaded, prompts, state, request_ids=(request_id,))
        return await self.history.load(session_id, segment, principal=NOBODY)

    def state_after(self, loaded: Snapshot, *prompts: Prompt, version: str = "3") -> SegmentState:
        """The state of the segment after such a step; its probabilities are 10 times the step plus the segment."""
        batch = read_prompts(prompts, geometry=GEOMETRY)
        number = loaded.segment.head + 1
        grid = np.full((4, 4, 4), 10 * number + loaded.segment.number, np.uint8)
        prediction = Prediction(grid, Roi((0.0, 0.0, 0.0), (8.0, 8.0, 8.0), (4, 4, 4)))
        start_step = number if batch.extent else loaded.state.start_step
        return SegmentState(start_step, accumulate(loaded.state.prompts, batch), prediction, "m", version, 0.4)


def answer_of(state: SegmentState) -> int:
    """The probability, in 255ths, of a state's prediction."""
    assert state.prediction is not None
    return int(state.prediction.probabilities[0, 0, 0])
