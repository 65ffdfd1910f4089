"""Rules and decisions of datasets: who may set them, what another tenant sees, and what jobs do by them."""

from __future__ import annotations

import asyncio
import fcntl
import json
import stat
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gateway.core.access import DEFAULT_TENANT, Principal, Role
from gateway.core.datasets import Datasets
from gateway.core.jobs import DatasetFolders, JobKinds, JobRow, Jobs, ProgramPlace
from gateway.core.learning import Learning as LearningOfAll
from gateway.core.learning import LearningWriter, LearnJobs, Stage
from gateway.core.runtime import Catalog, Model
from gateway.storage import Database, DbosQueue, dataset_repository, job_repository, learning_repository
from sixpoint.datasets import DatasetSource
from sixpoint.errors import DatasetNotFound, FailedPrecondition, InvalidArgument, PermissionDenied, Unavailable
from sixpoint.loop import Choice, Decision, Rules, Verdict
from sixpoint.loop.decisions import PublishFacts, TrainFacts
from sixpoint.model_spec import ModelSpec
from tests.gateway.storage.tenant_rows import rows, statements, unscoped
from tests.support.callers import caller

ADA = caller("ada")
SOUTH = caller("eve", tenant="south")
RULES: Mapping[str, Any] = {"modality": "CT", "model": "shared", "train": {"new_accepted": 3}}


@dataclass
class Context:
    """What a job tells."""

    principal: Principal = ADA
    job_id: str = "a"
    notes: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def progress(self, done: float, total: float, note: str = "") -> None:
        del done, total
        self.notes.append(note)

    def log(self, text: str) -> None:
        self.lines.append(text)


class NoAnnotations(DatasetFolders):
    """Datasets in which nobody has accepted anything: what is read is tested with a gateway."""

    def source(self, *_: Any, **__: Any) -> DatasetSource:
        # The real one comes back to the event loop.
        asyncio.get_running_loop()
        nothing = SimpleNamespace(images=lambda _: [], annotations=lambda _, state: [])
        return cast("DatasetSource", SimpleNamespace(datasets=nothing))


@dataclass(frozen=True)
class Site:
    """Learning on a database.

    Attributes:
        database: The database.
        learning: The learning of all datasets.
        jobs: The kind of jobs.
        place: Where its programs run.
    """

    database: Database
    learning: LearningOfAll
    jobs: LearnJobs
    place: ProgramPlace

    async def record(self, *decisions: Decision) -> None:
        """Append decisions to the record of the dataset of the default tenant."""
        repository = learning_repository(self.database)

        def work(records: LearningWriter) -> None:
            row = records.dataset("organs")
            assert row is not None
            for number, decision in enumerate(decisions, 1 + records.count_decisions(row.id)):
                records.append_decision(row.id, number, decision)

        await repository.write(work, tenant=DEFAULT_TENANT)


@pytest.fixture
async def site(database_url: str, tmp_path: Path) -> AsyncIterator[Site]:
    database = Database(database_url)
    await database.start()
    datasets = Datasets(repository=dataset_repository(database))
    for principal in (ADA, SOUTH):
        await datasets.create("organs", labels=[], validation_share=0.2, test_share=0.0, principal=principal)
    catalog = Catalog()
    catalog.update(
        {
            name: Model(name, "3", cast("ModelSpec", None), tenants=tenants)
            for name, tenants in (("shared", None), ("theirs", frozenset({"south"})))
        }
    )
    unused = cast("Any", None)
    (tmp_path / "models").mkdir()
    place = ProgramPlace(
        folder=tmp_path / "jobs",
        python="",
        repository=str(tmp_path / "models"),
        triton="127.0.0.1:1",
        server="",
        data=NoAnnotations(unused, unused, unused),
        catalog=catalog,
    )

    async def start_job(kind: str, parameters: Mapping[str, Any], principal: Principal) -> JobRow:
        return await jobs.create(kind, parameters, principal=principal)

    repository = learning_repository(database, audited=True)
    learn = LearnJobs(place, repository, start_job=start_job)
    queue = DbosQueue(database)
    await queue.start()
    records = job_repository(database, queue)
    jobs = Jobs(repository=records, queue=queue, kinds=JobKinds([learn]), tenant_limit=9)
    yield Site(database, LearningOfAll(repository=repository, jobs=jobs), learn, place)
    await queue.stop()
    await database.stop()


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str], str]:
    """Writes a Python of which each program is a script; it is given its arguments."""

    def write(script: str) -> str:
        path = tmp_path / "python"
        path.write_text(f"#!{sys.executable}\nimport json, sys, time\narguments = sys.argv[2:]\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return str(path)

    return write


def decision(choice: Choice, *, number: int = 1, share: float = 1.0, version: str = "") -> Decision:
    facts = TrainFacts(accepted=3, new=3, waiting_days=0, by_hand=False) if choice is Choice.TRAIN else PublishFacts()
    return Decision(
        time=datetime(2026, 1, number, tzinfo=UTC),
        round=number,
        rules=Rules.model_validate({**RULES, "publish": {"share": share}}),
        facts=facts,
        verdict=Verdict(choice=choice, reasons=("enough",)),
        version=version,
    )


async def test_rules_are_whole_and_replace_earlier_ones(site: Site) -> None:
    with pytest.raises(FailedPrecondition, match="has no rules of learning"):
        await site.learning.get("organs", principal=ADA)
    state = await site.learning.set_rules("organs", RULES, principal=ADA)
    assert state.rules.content["train"]["new_accepted"] == 3
    assert state.rules.content["gates"]["may_fall"] == 0.02
    changed = await site.learning.set_rules("organs", {"modality": "MRI", "learn": "both"}, principal=caller("bob"))
    assert (changed.rules.changed_by, changed.rules.content["train"]["new_accepted"]) == ("bob", 10)
    assert await site.learning.get("organs", principal=caller("eve", role=Role.VIEWER)) == changed
    assert [(each.task, each.model, each.stage) for each in changed.tasks] == [
        ("annotation", "annotation", Stage.WAITING),
        ("segmentation", "segmentation", Stage.WAITING),
    ]
    audited = await site.database.read(lambda conn: rows(conn, DEFAULT_TENANT)["audit"])
    assert sum("change rules of learning" in entry for entry in audited) == 2


async def test_wrong_rules_and_those_who_may_not_set_them_are_refused(site: Site) -> None:
    with pytest.raises(InvalidArgument, match=r"there is no rule 'train\.steps_'; expected new_accepted,"):
        await site.learning.set_rules("organs", {"modality": "CT", "train": {"steps_": 1}}, principal=ADA)
    for role in (Role.VIEWER, Role.ANNOTATOR, Role.ENGINEER):
        with pytest.raises(PermissionDenied):
            await site.learning.set_rules("organs", RULES, principal=caller("bob", role=role))
    await site.learning.set_rules("organs", RULES, principal=ADA)
    with pytest.raises(PermissionDenied):
        await site.learning.start_round("organs", by_hand=True, principal=caller("bob", role=Role.ENGINEER))
    with pytest.raises(DatasetNotFound):
        await site.learning.start_round("livers", by_hand=True, principal=ADA)
    with pytest.raises(InvalidArgument, match="no model for segmentation"):
        await site.learning.roll_back("organs", task="segmentation", version=None, principal=ADA)
    row = await site.learning.promote("organs", task="annotation", version=3, share=0.5, principal=ADA)
    assert (row.kind, row.parameters["action"], row.parameters["version"]) == ("learn", "promote", 3)


async def test_another_tenant_sees_nothing_and_publishes_no_shared_model(site: Site) -> None:
    await site.learning.set_rules("organs", RULES, principal=ADA)
    await site.record(decision(Choice.TRAIN))
    with statements(site.database) as seen:
        with pytest.raises(FailedPrecondition, match="has no rules"):
            await site.learning.get("organs", principal=SOUTH)
        assert (await site.learning.decisions("organs", principal=SOUTH)).entries == ()
        await site.learning.set_rules("organs", RULES, principal=SOUTH)
        with pytest.raises(PermissionDenied, match="its own models only"):
            await site.learning.start_round("organs", by_hand=True, principal=SOUTH)
        await site.learning.set_rules("organs", {**RULES, "model": "theirs"}, principal=SOUTH)
        await site.learning.start_round("organs", by_hand=True, principal=SOUTH)
    assert {statement for statement in seen if unscoped(statement)} == set()
    assert (await site.learning.get("organs", principal=ADA)).decision_count == 1


async def test_decisions_are_paged_and_say_where_the_learning_is(site: Site) -> None:
    await site.learning.set_rules("organs", RULES, principal=ADA)
    for made, stage in (
        (decision(Choice.TRAIN), Stage.TRAINING),
        (decision(Choice.PUBLISH, version="4", share=0.5), Stage.TRIAL),
        (decision(Choice.PROMOTE, version="4", share=0.5), Stage.WAITING),
        (decision(Choice.TRAIN, number=2), Stage.TRAINING),
        (decision(Choice.REFUSE, number=2), Stage.WAITING),
    ):
        await site.record(made)
        (task,) = (await site.learning.get("organs", principal=ADA)).tasks
        assert task.stage is stage
    assert (task.round, task.version) == (2, "4")
    first = await site.learning.decisions("organs", principal=ADA, size=3)
    second = await site.learning.decisions("organs", principal=ADA, size=3, token=first.next_token)
    assert [each.number for each in (*first.entries, *second.entries)] == [1, 2, 3, 4, 5]
    assert (first.entries[0].decision, second.next_token) == (decision(Choice.TRAIN), "")
    with pytest.raises(InvalidArgument, match="unknown page token"):
        await site.learning.decisions("organs", principal=ADA, token="x")


async def test_a_round_with_nothing_to_do_says_so(site: Site) -> None:
    await site.learning.set_rules("organs", RULES, principal=ADA)
    context = Context()
    await site.jobs.run(site.jobs.parameters(dataset="organs"), context)
    assert context.lines[-1] == "wait: 0 accepted annotations, 4 are needed"
    assert (await site.learning.decisions("organs", principal=ADA)).entries == ()


async def test_two_rounds_of_a_dataset_do_not_work_at_once(site: Site) -> None:
    await site.learning.set_rules("organs", RULES, principal=ADA)
    await site.jobs.run(site.jobs.parameters(dataset="organs"), Context())
    (folder,) = (site.place.within(ADA, "loops", "any").parent).iterdir()
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(FailedPrecondition, match=rf"^another round works in loops/{folder.name}; wait until"):
            await site.jobs.run(site.jobs.parameters(dataset="organs"), Context())
    await site.jobs.run(site.jobs.parameters(dataset="organs"), Context())


async def test_what_the_exporter_is_asked_and_where_it_fails_no_path_is_told(
    site: Site, program: Callable[[str], str], tmp_path: Path
) -> None:
    await site.learning.set_rules("organs", RULES, principal=ADA)
    script = (
        f"open({str(tmp_path / 'told')!r}, 'a').write(json.dumps(arguments) + '\\n')\n"
        "print(json.dumps({'version': 2}))"
    )
    jobs = LearnJobs(replace(site.place, python=program(script)), site.jobs._repository, start_job=site.jobs._start_job)
    promoted, back = Context(), Context()
    await jobs.run(jobs.parameters(dataset="organs", action="promote", version=3, share=0.25), promoted)
    await jobs.run(jobs.parameters(dataset="organs", action="roll_back"), back)
    assert promoted.lines[-1] == "version 3 of shared gets 25% of the sessions"
    assert back.lines[-1] == "version 2 of shared serves"
    first, second = map(json.loads, (tmp_path / "told").read_text().splitlines())
    assert first[:6] == ["exporter", "promote", "shared", "3", "--share", "0.25"]
    assert second[:3] == ["exporter", "rollback", "shared"]
    for end, told in (("/shared", "shared"), (", only: 3", "the model repository, only: 3")):
        program(f"sys.exit('error: no version in ' + arguments[arguments.index('--repository') + 1] + '{end}')")
        with pytest.raises(FailedPrecondition, match=rf"^exporter: no version in {told}$"):
            await jobs.run(jobs.parameters(dataset="organs", action="roll_back"), Context())
    program("import os; os.kill(os.getpid(), 9)")
    with pytest.raises(Unavailable, match="was ended by signal 9"):
        await jobs.run(jobs.parameters(dataset="organs", action="roll_back"), Context())


async def test_a_job_that_is_paused_ends_its_program(site: Site, program: Callable[[str], str], tmp_path: Path) -> None:
    await site.learning.set_rules("organs", RULES, principal=ADA)
    started, ended = tmp_path / "started", tmp_path / "ended"
    script = (
        f"import pathlib, signal\n"
        f"signal.signal(signal.SIGTERM, lambda *_: (pathlib.Path({str(ended)!r}).touch(), sys.exit(1)))\n"
        f"pathlib.Path({str(started)!r}).touch()\ntime.sleep(600)"
    )
    jobs = LearnJobs(replace(site.place, python=program(script)), site.jobs._repository, start_job=site.jobs._start_job)
    task = asyncio.create_task(jobs.run(jobs.parameters(dataset="organs", action="roll_back"), Context()))
    deadline = time.monotonic() + 60
    while not started.exists():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.exists()
