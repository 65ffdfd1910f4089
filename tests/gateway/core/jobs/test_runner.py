"""Jobs and their workers on a database: what becomes of a job that ends, fails, is stopped, or is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import pytest

from gateway.core.access import Principal, Role
from gateway.core.jobs import (
    JobContext,
    JobKinds,
    JobParameters,
    JobRow,
    JobRunner,
    Jobs,
    JobState,
    JobSweep,
    JobWriter,
    run_process,
)
from gateway.storage import Database, DbosQueue, job_maintenance, job_repository, taking_runs
from gateway.storage.migrations import downgrade
from sixpoint.errors import (
    FailedPrecondition,
    InvalidArgument,
    JobNotFound,
    ModelNotFound,
    PermissionDenied,
    ResourceExhausted,
    TritonUnavailable,
    Unavailable,
)
from tests.support.callers import caller

ADA = caller("ada")
PATIENCE = 60.0


class Parameters(JobParameters, frozen=True):
    """Of the kind below."""

    count: int = 1


@dataclass
class Work:
    """A kind of job that does what a test says."""

    run_with: Callable[[JobContext], Awaitable[None]]
    name: str = "work"
    parameters: type[Parameters] = Parameters

    async def check(self, parameters: Parameters, *, principal: Principal) -> None:
        if parameters.count < 0:
            raise InvalidArgument("a negative count")

    async def run(self, parameters: Parameters, context: JobContext) -> None:
        await self.run_with(context)


class Place:
    """Jobs on a database, and workers that run them."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.queue = DbosQueue(database)
        self.repository = job_repository(database, self.queue, audited=True)
        self.maintenance = job_maintenance(database, self.queue)
        self.kind = Work(self._nothing)
        self.kinds = JobKinds([self.kind])
        self.jobs = Jobs(repository=self.repository, queue=self.queue, kinds=self.kinds, tenant_limit=3)

    async def _nothing(self, context: JobContext) -> None:
        context.progress(1, 1)

    @contextlib.asynccontextmanager
    async def working(self, worker: str = "w", *, sweeps: bool = False) -> AsyncIterator[JobRunner]:
        """Run a worker; one that sweeps takes others for dead that are silent for a second."""
        runner = JobRunner(worker, repository=self.repository, kinds=self.kinds, store=0.05, first_pause=0.01)
        sweep = JobSweep(
            worker,
            maintenance=self.maintenance,
            queue=self.queue,
            runs=lambda: runner.runs,
            beat=0.2,
            interval=0.2,
            silent=1.0,
        )
        await sweep.beat()
        task = asyncio.create_task(sweep.run()) if sweeps else None
        try:
            async with taking_runs(
                self.queue, runner.carry_out, worker=worker, at_once=2, tenant_limit=2, stop=runner.stop, poll=0.05
            ):
                yield runner
        finally:
            if task:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            await sweep.leave()

    async def until(self, job_id: str, wanted: Callable[[JobRow], bool]) -> JobRow:
        async with asyncio.timeout(PATIENCE):
            while True:
                row = await self.jobs.get(job_id, principal=ADA)
                if wanted(row):
                    return row
                await asyncio.sleep(0.05)


@pytest.fixture
async def place(database_url: str) -> AsyncIterator[Place]:
    database = Database(database_url)
    await database.start()
    place = Place(database)
    await place.queue.start()
    yield place
    await place.queue.stop()
    await database.stop()


def is_in(state: JobState) -> Callable[[JobRow], bool]:
    return lambda row: row.state is state


async def test_a_job_runs_and_tells_how_far_it_is(place: Place) -> None:
    seen: list[Principal] = []

    async def run(context: JobContext) -> None:
        seen.append(context.principal)
        context.log("begins")
        context.progress(2, 2, "both")

    place.kind.run_with = run
    owner = Principal("eve", roles=frozenset({Role.ENGINEER}))
    made = await place.jobs.create("work", {"count": 2.0}, principal=owner)
    assert (made.state, made.parameters) == (JobState.QUEUED, {"count": 2})
    async with place.working():
        states = [row.state async for row in place.jobs.watch(made.id, principal=ADA)]
    assert states[-1] is JobState.SUCCEEDED
    row = await place.jobs.get(made.id, principal=ADA)
    assert (row.done, row.total, row.attempt, row.worker, row.error) == (2.0, 2.0, 1, "", "")
    assert [line.text for line in (await place.jobs.lines(made.id, principal=ADA)).entries] == ["begins"]
    assert [(each.subject, each.role) for each in seen] == [("eve", Role.ENGINEER)]


async def test_a_job_is_paused_resumed_and_cancelled(place: Place) -> None:
    async def run(context: JobContext) -> None:
        context.progress(1, 3)
        await asyncio.Event().wait()

    place.kind.run_with = run
    job_id = (await place.jobs.create("work", {}, principal=ADA)).id
    async with place.working():
        await place.until(job_id, lambda row: row.done == 1)
        await place.jobs.pause(job_id, principal=ADA)
        paused = await place.until(job_id, is_in(JobState.PAUSED))
        assert (paused.done, paused.worker, paused.failures) == (1.0, "", 0)
        await place.jobs.resume(job_id, principal=ADA)
        await place.until(job_id, is_in(JobState.RUNNING))
        await place.jobs.cancel(job_id, principal=ADA)
        await place.until(job_id, is_in(JobState.CANCELLED))
    with pytest.raises(FailedPrecondition, match="has been cancelled, so there is nothing to resume"):
        await place.jobs.resume(job_id, principal=ADA)


@pytest.mark.parametrize("error", [TritonUnavailable("Triton is away"), ModelNotFound("Triton is away")])
async def test_what_passes_by_itself_is_tried_again(place: Place, error: Exception) -> None:
    async def run(context: JobContext) -> None:
        raise error

    place.kind.run_with = run
    job_id = (await place.jobs.create("work", {}, principal=ADA)).id
    async with place.working():
        row = await place.until(job_id, lambda row: row.failures == 1)
        assert (row.state, row.error) == (JobState.QUEUED, "Triton is away")
        assert row.not_before > row.created
        # In the end it has failed often enough.
        row = await place.until(job_id, is_in(JobState.FAILED))
    assert (row.error, row.failures, row.attempt) == ("Triton is away", 6, 6)


async def test_a_fault_of_the_request_fails_at_once_and_can_be_resumed(place: Place) -> None:
    async def run(context: JobContext) -> None:
        raise FailedPrecondition("2 of 3 images could not be segmented")

    place.kind.run_with = run
    job_id = (await place.jobs.create("work", {}, principal=ADA)).id
    async with place.working():
        row = await place.until(job_id, is_in(JobState.FAILED))
        assert (row.error, row.attempt) == ("2 of 3 images could not be segmented", 1)
        place.kind.run_with = place._nothing
        await place.jobs.resume(job_id, principal=ADA)
        assert (await place.until(job_id, is_in(JobState.SUCCEEDED))).error == ""


async def test_a_bug_tells_callers_nothing_of_itself(place: Place) -> None:
    async def run(context: JobContext) -> None:
        raise ZeroDivisionError("/home/secret")

    place.kind.run_with = run
    job_id = (await place.jobs.create("work", {}, principal=ADA)).id
    async with place.working():
        row = await place.until(job_id, lambda row: row.failures > 0)
    assert row.error == "an internal error; the log of the worker says more"


async def test_a_worker_that_stops_gives_its_jobs_back(place: Place) -> None:
    async def run(context: JobContext) -> None:
        await asyncio.Event().wait()

    place.kind.run_with = run
    job_id = (await place.jobs.create("work", {}, principal=ADA)).id
    async with place.working("one"):
        await place.until(job_id, is_in(JobState.RUNNING))
    row = await place.jobs.get(job_id, principal=ADA)
    assert (row.state, row.worker, row.failures) == (JobState.QUEUED, "", 0)


async def test_a_job_that_is_handed_over_while_its_worker_stops_goes_to_another_one(place: Place) -> None:
    job_id = (await place.jobs.create("work", {}, principal=ADA)).id
    runner = JobRunner("one", repository=place.repository, kinds=place.kinds)
    await runner.stop()
    row = await place.jobs.get(job_id, principal=ADA)
    assert await runner.carry_out(row.run, job_id, "default") == "void"
    given_back = await place.jobs.get(job_id, principal=ADA)
    assert (given_back.state, given_back.worker, given_back.failures) == (JobState.QUEUED, "", 0)
    assert given_back.run != row.run
    async with place.working("two"):
        await place.until(job_id, is_in(JobState.SUCCEEDED))


async def test_a_worker_that_lost_its_job_stops_and_changes_nothing(place: Place) -> None:
    stopped = asyncio.Event()

    async def run(context: JobContext) -> None:
        context.progress(1, 2)
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    place.kind.run_with = run
    job_id = (await place.jobs.create("work", {}, principal=ADA)).id
    async with place.working("one"):
        await place.until(job_id, lambda row: row.done == 1)

        def take_away(records: JobWriter) -> None:
            row = records.lock_job(job_id)
            assert row is not None
            records.update_job(replace(row, worker="two", attempt=2))

        await place.repository.write(take_away, tenant="default")
        await asyncio.wait_for(stopped.wait(), PATIENCE)
    row = await place.jobs.get(job_id, principal=ADA)
    assert (row.state, row.worker, row.attempt) == (JobState.RUNNING, "two", 2)


async def _end_without_a_word(place: Place, job_id: str, *, failures: int = 0) -> None:
    """Leave a job as a worker does that is killed: it runs, and nobody has it."""

    def work(records: JobWriter) -> None:
        row = records.lock_job(job_id)
        assert row is not None
        lost = replace(row, state=JobState.RUNNING, worker="dead", run="gone", attempt=row.attempt + 1)
        records.update_job(replace(lost, failures=failures))

    await place.repository.write(work, tenant="default")


async def test_jobs_of_an_older_version_go_on(place: Place) -> None:
    queued, running = [(await place.jobs.create("work", {}, principal=ADA)).id for _ in range(2)]
    await _end_without_a_word(place, running)
    # The last revision at which jobs had no place in a queue.
    await place.database.write(lambda conn: downgrade(conn, to="0009"))
    await place.database.start()
    assert (await place.jobs.get(queued, principal=ADA)).run == ""
    async with place.working(sweeps=True):
        assert (await place.until(queued, is_in(JobState.SUCCEEDED))).attempt == 1
        assert (await place.until(running, is_in(JobState.SUCCEEDED))).attempt == 2


async def test_a_job_without_a_place_in_the_queue_gets_one(place: Place) -> None:
    job_id = (await place.jobs.create("work", {}, principal=ADA)).id
    await _end_without_a_word(place, job_id)
    async with place.working(sweeps=True):
        row = await place.until(job_id, is_in(JobState.SUCCEEDED))
    assert (row.attempt, row.worker) == (2, "")


async def test_a_job_that_kills_its_workers_fails(place: Place) -> None:
    job_id = (await place.jobs.create("work", {}, principal=ADA)).id
    await _end_without_a_word(place, job_id, failures=6)
    async with place.working(sweeps=True):
        row = await place.until(job_id, is_in(JobState.FAILED))
    assert "its worker died again and again" in row.error


async def test_a_run_is_carried_out_once_however_often_it_is_handed_over(place: Place) -> None:
    job = await place.jobs.create("work", {}, principal=ADA)
    await place.jobs.pause(job.id, principal=ADA)
    async with place.working() as runner:
        assert await runner.carry_out(job.run, job.id, "default") == "void"
        resumed = await place.jobs.resume(job.id, principal=ADA)
        assert resumed.run != job.run
        await place.until(job.id, is_in(JobState.SUCCEEDED))
        for run in (job.run, resumed.run):
            assert await runner.carry_out(run, job.id, "default") == "void"
    assert (await place.jobs.get(job.id, principal=ADA)).attempt == 1


async def test_only_so_many_jobs_of_a_tenant_wait(place: Place) -> None:
    made = [await place.jobs.create("work", {}, principal=ADA) for _ in range(3)]
    with pytest.raises(ResourceExhausted, match="SIXPOINT_TENANT_JOBS"):
        await place.jobs.create("work", {}, principal=ADA)
    await place.jobs.create("work", {}, principal=caller("bob", tenant="other"))
    await place.jobs.cancel(made[0].id, principal=ADA)
    await place.jobs.create("work", {}, principal=ADA)


async def test_a_job_is_another_tenants_secret_and_a_colleagues_to_read(place: Place) -> None:
    job_id = (await place.jobs.create("work", {}, principal=ADA)).id
    stranger = caller("ada", tenant="other")
    calls = (place.jobs.get, place.jobs.cancel, place.jobs.pause, place.jobs.resume, place.jobs.lines)
    for call in calls:
        with pytest.raises(JobNotFound):
            await call(job_id, principal=stranger)
    assert (await place.jobs.page(principal=stranger)).entries == ()
    colleague = Principal("bob", roles=frozenset({Role.ENGINEER}))
    assert (await place.jobs.get(job_id, principal=colleague)).owner == "ada"
    with pytest.raises(PermissionDenied, match="this job belongs to somebody else"):
        await place.jobs.cancel(job_id, principal=colleague)


@pytest.mark.parametrize(
    ("kind", "parameters", "priority", "message"),
    [
        ("nap", {}, 0, "no kind of job is called 'nap'; there are: work"),
        ("work", {"size": 1}, 0, "parameter 'size'"),
        ("work", {"count": 1.5}, 0, "parameter 'count'"),
        ("work", {"count": -1}, 0, "a negative count"),
        ("work", {}, 101, "priority 101"),
    ],
)
async def test_what_cannot_be_is_refused_before_there_is_a_job(
    place: Place, kind: str, parameters: dict[str, object], priority: int, message: str
) -> None:
    with pytest.raises(InvalidArgument, match=message):
        await place.jobs.create(kind, parameters, priority=priority, principal=ADA)
    assert (await place.jobs.page(principal=ADA)).entries == ()


async def test_pages_go_on_where_the_last_one_ended(place: Place) -> None:
    made = [(await place.jobs.create("work", {}, principal=ADA)).id for _ in range(3)]
    first = await place.jobs.page(principal=ADA, size=2)
    second = await place.jobs.page(principal=ADA, size=2, token=first.next_token)
    assert [row.id for row in (*first.entries, *second.entries)] == made[::-1]
    assert second.next_token == ""
    with pytest.raises(InvalidArgument, match="unknown page token"):
        await place.jobs.page(principal=ADA, token="?")


async def test_a_program_hands_over_its_lines_and_ends_with_its_job() -> None:
    lines: list[str] = []
    await run_process([sys.executable, "-c", "print('one'); print('x' * 200000)"], on_line=lines.append)
    assert lines[0] == "one"
    assert "".join(lines[1:]) == "x" * 200_000
    with pytest.raises(FailedPrecondition, match="ended with code 3: what is wrong"):
        await run_process([sys.executable, "-c", "print('what is wrong'); raise SystemExit(3)"], on_line=lines.append)


async def test_a_program_that_is_killed_may_do_better_the_next_time_and_dies_with_its_guard() -> None:
    script = "import os, signal; print('loaded', flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    with pytest.raises(Unavailable, match="ended by signal 9, as the system does when memory runs out: loaded"):
        await run_process([sys.executable, "-c", script], on_line=lambda _: None)
    begun = asyncio.get_running_loop().create_future()
    script = "import os, time; print(os.getpid(), os.getppid(), flush=True); time.sleep(600)"
    running = asyncio.create_task(run_process([sys.executable, "-c", script], on_line=begun.set_result))
    program, guard = map(int, (await asyncio.wait_for(begun, PATIENCE)).split())
    os.kill(guard, signal.SIGKILL)
    with pytest.raises(Unavailable, match="ended by signal 9"):
        await running
    async with asyncio.timeout(PATIENCE):
        while psutil.pid_exists(program) and psutil.Process(program).status() != psutil.STATUS_ZOMBIE:
            await asyncio.sleep(0.05)


async def test_a_program_is_killed_with_all_its_processes() -> None:
    started = asyncio.get_running_loop().create_future()
    script = (
        "import os, signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
        "print(os.getpid(), child.pid, flush=True); time.sleep(600)"
    )
    task = asyncio.create_task(
        run_process([sys.executable, "-c", script], on_line=lambda line: started.set_result(line), grace=0.2)
    )
    pids = [int(word) for word in (await asyncio.wait_for(started, PATIENCE)).split()]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(PATIENCE):
        while any(_runs(pid) for pid in pids):
            await asyncio.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
