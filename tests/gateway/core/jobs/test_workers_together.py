"""Several workers, each a process, on one database: they share the jobs, and take over what a dead one leaves."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from gateway.core.jobs import JobKinds, Jobs, JobState
from gateway.storage import Database, DbosQueue, job_repository
from tests.support.callers import caller
from tests.support.job_worker import AT_ONCE, STEPS, TENANT_LIMIT, NotedJobs
from tests.support.paths import ROOT

PATIENCE = 240.0
JOBS = {"many": 24, "few": 2, "one": 1}


class Workplace:
    """A database with jobs of several tenants, and workers on it.

    Args:
        url: URL of the database.
        database: The same database.
        notes: Folder in which workers note what they do.
    """

    def __init__(self, url: str, database: Database, notes: Path) -> None:
        self._url = url
        self._notes = notes
        self.queue = DbosQueue(database)
        self.jobs = Jobs(
            repository=job_repository(database, self.queue),
            queue=self.queue,
            kinds=JobKinds([NotedJobs(notes, "")]),
            tenant_limit=100,
        )
        self.workers: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, worker: str) -> None:
        """Start a worker."""
        command = [sys.executable, "-m", "tests.support.job_worker", self._url, worker, str(self._notes)]
        self.workers[worker] = subprocess.Popen(command, cwd=ROOT)

    def is_ready(self, worker: str) -> bool:
        """Whether a worker takes jobs."""
        return (self._notes / f"ready-{worker}").exists()

    def noted(self) -> list[list[str]]:
        """What workers have noted: job, step, tenant, worker, begin and end of each step."""
        lines = [line for file in self._notes.iterdir() for line in file.read_text().splitlines()]
        return [line.split() for line in lines]

    async def ended(self) -> int:
        """Number of jobs that have succeeded."""
        pages = [await self.jobs.page(principal=caller("ada", tenant=tenant), size=100) for tenant in JOBS]
        states = Counter(row.state for page in pages for row in page.entries)
        assert states[JobState.FAILED] == 0
        return states[JobState.SUCCEEDED]


@pytest.fixture
async def workplace(database_url: str, tmp_path: Path) -> AsyncIterator[Workplace]:
    notes = tmp_path / "notes"
    notes.mkdir()
    database = Database(database_url)
    await database.start()
    workplace = Workplace(database_url, database, notes)
    await workplace.queue.start()
    try:
        yield workplace
    finally:
        for process in workplace.workers.values():
            process.terminate()
        for process in workplace.workers.values():
            await asyncio.to_thread(process.wait, 60)
        await workplace.queue.stop()
        await database.stop()


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.05)


def _at_once(steps: list[list[str]]) -> int:
    """Largest number of steps at one time."""
    moments = sorted([(float(each[4]), 1) for each in steps] + [(float(each[5]), -1) for each in steps])
    running = peak = 0
    for _, change in moments:
        running += change
        peak = max(peak, running)
    return peak


@pytest.mark.slow
async def test_what_a_killed_worker_leaves_is_done_once_by_others(workplace: Workplace) -> None:
    for tenant, count in JOBS.items():
        for _ in range(count):
            await workplace.jobs.create("noted", {}, principal=caller("ada", tenant=tenant))
    for worker in ("a", "b"):
        workplace.start(worker)
    await _until(lambda: {each[3] for each in workplace.noted()} == {"a", "b"})
    os.kill(workplace.workers["a"].pid, signal.SIGKILL)
    await asyncio.to_thread(workplace.workers["a"].wait)
    killed = time.time()
    async with asyncio.timeout(PATIENCE):
        while await workplace.ended() < sum(JOBS.values()):
            await asyncio.sleep(0.1)
    steps = workplace.noted()
    assert Counter((each[0], each[1]) for each in steps) == Counter({(each[0], each[1]): 1 for each in steps})
    assert len(steps) == STEPS * sum(JOBS.values())
    # What the dead worker began, the other one ended.
    for job in {each[0] for each in steps if each[3] == "a"}:
        assert {each[3] for each in steps if each[0] == job and float(each[5]) > killed} <= {"b"}
    for tenant in JOBS:
        assert _at_once([each for each in steps if each[2] == tenant]) <= TENANT_LIMIT
    assert _at_once([each for each in steps if each[3] == "b"]) <= AT_ONCE
    # Others do not wait until the tenant with many jobs is done.
    ends = {tenant: max(float(each[5]) for each in steps if each[2] == tenant) for tenant in JOBS}
    assert max(ends["few"], ends["one"]) < ends["many"]
    assert await workplace.queue.claimed() == {}


@pytest.mark.slow
async def test_a_worker_that_is_told_to_end_leaves_its_jobs_to_others(workplace: Workplace) -> None:
    for _ in range(4):
        await workplace.jobs.create("noted", {}, principal=caller("ada", tenant="many"))
    workplace.start("a")
    await _until(lambda: bool(workplace.noted()))
    workplace.workers["a"].terminate()
    assert await asyncio.to_thread(workplace.workers["a"].wait, 60) == 0
    rows = (await workplace.jobs.page(principal=caller("ada", tenant="many"))).entries
    assert not [row for row in rows if row.state is JobState.RUNNING]
    workplace.start("b")
    async with asyncio.timeout(PATIENCE):
        while await workplace.ended() < 4:
            await asyncio.sleep(0.1)
    assert len(workplace.noted()) == 4 * STEPS


async def test_jobs_go_by_priority_and_what_has_begun_goes_on_first(workplace: Workplace) -> None:
    ada = caller("ada", tenant="one")
    made = [(await workplace.jobs.create("noted", {}, priority=p, principal=ada)).id for p in (0, 0, 5, 5, -5)]
    workplace.start("a")
    async with asyncio.timeout(PATIENCE):
        while await workplace.ended() < len(made):
            await asyncio.sleep(0.1)
    begins = sorted((float(each[4]), each[0]) for each in workplace.noted() if each[1] == "0")
    order = [job for _, job in begins]
    # Two run at once.
    assert {*order[:2]} == {made[2], made[3]}
    assert {*order[2:4]} == {made[0], made[1]}
