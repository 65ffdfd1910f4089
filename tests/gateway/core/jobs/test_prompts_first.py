"""Patches of jobs beside people's prompts: one at a time while somebody is at work, and a share for ever."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.core.jobs import JobRow, JobState, PromptWatch
from gateway.core.runtime import Admission
from gateway.job_workers import JobWorkers
from gateway.settings import Settings
from gateway.storage import Database, DbosQueue, job_maintenance, job_repository

CLICKED = 1000.0
PATIENCE = 60.0


class Patches:
    """Patches of jobs, with a clock that a test moves.

    Attributes:
        at_once: Largest number of patches that were computed at once.
        asked: Number of times that the clock was read.
    """

    def __init__(self, database: Database, *, max_wait: float = 600.0) -> None:
        self.now, self.at_once, self.asked, self._active = CLICKED, 0, 0, 0
        self.watch = PromptWatch(job_maintenance(database, DbosQueue(database)), max_wait=max_wait, now=self._clock)

    def _clock(self) -> float:
        self.asked += 1
        return self.now

    async def compute(self) -> None:
        async with self.watch.turn():
            self._active += 1
            self.at_once = max(self.at_once, self._active)
            await asyncio.sleep(0.01)
            self._active -= 1

    async def until_asked_again(self) -> None:
        """Wait until somebody has looked at the clock a few times."""
        seen = self.asked
        async with asyncio.timeout(PATIENCE):
            while self.asked < seen + 5:
                await asyncio.sleep(0.01)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(f"sqlite:///{tmp_path}/jobs.db")
    await database.start()
    yield database
    await database.stop()


async def _click(database: Database) -> None:
    await job_maintenance(database, DbosQueue(database)).write(lambda upkeep: upkeep.mark_prompt(now=CLICKED))


async def test_without_people_patches_go_as_many_at_once_as_they_are_sent(database: Database) -> None:
    patches = Patches(database)
    await asyncio.gather(*(patches.compute() for _ in range(4)))
    assert patches.at_once == 4


@pytest.mark.parametrize("told", ["by the database", "by its gateway"])
async def test_patches_wait_while_somebody_clicks_and_then_go_one_by_one(database: Database, told: str) -> None:
    patches = Patches(database)
    if told == "by the database":
        await _click(database)
    else:
        patches.watch.note_prompt()
    waiting = asyncio.gather(*(patches.compute() for _ in range(4)))
    await patches.until_asked_again()
    assert patches.at_once == 0
    patches.now = CLICKED + 5.0
    await asyncio.wait_for(waiting, PATIENCE)
    assert patches.at_once == 1
    patches.now = CLICKED + 500.0
    await asyncio.gather(*(patches.compute() for _ in range(4)))
    assert patches.at_once == 4


async def test_a_share_goes_on_however_much_is_clicked(database: Database) -> None:
    patches = Patches(database, max_wait=0.1)
    await _click(database)
    await asyncio.wait_for(asyncio.gather(*(patches.compute() for _ in range(4))), PATIENCE)
    assert patches.at_once == 1


async def test_a_gateway_tells_its_workers_and_all_others_that_somebody_waits_for_a_mask(
    database: Database, tmp_path: Path
) -> None:
    """A worker that writes down what it is told, and a job that looks as if it ran."""
    now = time.time()
    row = JobRow("a", "default", "ada", 3, "segment", {}, JobState.RUNNING, now, worker="other")
    queued = replace(row, id="b", state=JobState.QUEUED, worker="")
    queue = DbosQueue(database)
    repository, maintenance = job_repository(database, queue), job_maintenance(database, queue)
    await maintenance.write(lambda upkeep: upkeep.beat("other", now=now + 600.0))
    for each in (row, queued):
        await repository.write(lambda records, each=each: records.insert_job(each), tenant="default")  # type: ignore[misc]
    prompts, note = Admission(budget=1, max_active=1), tmp_path / "told"
    script = "import sys; line = sys.stdin.readline(); open(sys.argv[1], 'w').write(line); sys.stdin.read()"
    workers = JobWorkers(
        Settings(state_folder=tmp_path),
        maintenance,
        prompts=prompts,
        at_most=1,
        command=(sys.executable, "-c", script, str(note)),
    )
    running = asyncio.create_task(workers.run())
    try:
        async with asyncio.timeout(PATIENCE), prompts.slot():
            while not (note.exists() and note.read_text() == "prompt\n"):
                await asyncio.sleep(0.05)
            while await maintenance.read(lambda upkeep: upkeep.last_prompt()) < now:
                await asyncio.sleep(0.05)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert note.read_text() == "prompt\n"
    assert await maintenance.read(lambda upkeep: upkeep.last_prompt()) >= now
