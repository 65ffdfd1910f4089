"""Jobs that are programs: what callers may ask for, where their files are, and what the programs are told."""

from __future__ import annotations

import json
import stat
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from gateway.core.access import Principal, Role
from gateway.core.jobs import DatasetFolders, EvaluateJobs, JobKind, JobKinds, ProgramPlace, PublishJobs, TrainJobs
from gateway.core.runtime import Catalog, Model
from gateway.settings import Settings
from sixpoint.errors import FailedPrecondition, InvalidArgument, PermissionDenied
from sixpoint.model_spec import ModelSpec
from tests.support.callers import caller

ADA = caller("ada")
TRAIN = {"run": "first", "dataset": "liver", "modality": "CT", "task": "annotation"}


@dataclass
class Context:
    """What a job tells."""

    principal: Principal = ADA
    job_id: str = "a"
    done: list[tuple[float, str]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def progress(self, done: float, total: float, note: str = "") -> None:
        self.done.append((round(done / total, 3), note))

    def log(self, text: str) -> None:
        self.lines.append(text)


class Folders(DatasetFolders):
    """Writes a file in place of a dataset: what is written is tested with a gateway."""

    async def write(self, name: str, folder: Path, **options: Any) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "dataset.json").write_text(json.dumps({"name": name, "modality": options["modality"]}))
        options["progress"](1, 2)
        return folder


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str], str]:
    """Writes a Python of which each program is a script; it is given its arguments."""

    def write(script: str) -> str:
        path = tmp_path / "python"
        path.write_text(f"#!{sys.executable}\nimport json, os, sys\narguments = sys.argv[2:]\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return str(path)

    return write


@pytest.fixture
def place(tmp_path: Path) -> ProgramPlace:
    catalog = Catalog()
    catalog.update(
        {
            name: Model(name, "3", cast("ModelSpec", None), tenants=tenants)
            for name, tenants in (("shared", None), ("theirs", frozenset({"north"})), ("ours", frozenset({"default"})))
        }
    )
    unused = cast("Any", None)
    return ProgramPlace(
        folder=tmp_path / "jobs",
        python="",
        repository=str(tmp_path / "models"),
        triton="127.0.0.1:1",
        server="",
        data=Folders(unused, unused, unused),
        catalog=catalog,
    )


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"run": "../other"}, "run"),
        ({"run": "--force"}, "run"),
        ({"run": "a/b"}, "run"),
        ({"run": "first\n"}, "run"),
        ({"start_run": "/etc"}, "start_run"),
        ({"start_model": "../../models/annotation"}, "start_model"),
        ({"modality": "CT --init x"}, "modality"),
        ({"task": "anything"}, "task"),
        ({"minutes": 0}, "minutes"),
        ({"minutes": "nan"}, "minutes"),
        ({"rate": float("inf")}, "rate"),
        ({"licence": "--seed"}, "licence"),
        ({"command": "rm"}, "command"),
    ],
)
def test_a_parameter_is_a_value_and_never_a_path_or_an_option(
    place: ProgramPlace, changes: dict[str, Any], named: str
) -> None:
    with pytest.raises(InvalidArgument, match=f"parameter '{named}'"):
        JobKinds([TrainJobs(place)]).parse("train", {**TRAIN, **changes})


def test_programs_are_off_unless_settings_name_them(place: ProgramPlace) -> None:
    kinds: list[JobKind[Any]] = [TrainJobs(place), EvaluateJobs(place), PublishJobs(place)]
    with pytest.raises(FailedPrecondition, match=r"jobs of kind train are off: SIXPOINT_WORKER_KINDS .*\(segment\)"):
        JobKinds(kinds, run_here=Settings().worker_kind_names).parse("train", TRAIN)
    settings = Settings(worker_kinds="segment, train")
    assert JobKinds(kinds, run_here=settings.worker_kind_names).parse("train", TRAIN)[1]
    with pytest.raises(ValueError, match="no kind of job paint"):
        Settings(worker_kinds="segment,paint")


async def test_a_training_tells_its_progress_and_keeps_its_place_to_itself(
    place: ProgramPlace, program: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIXPOINT_DATABASE_URL", "postgresql://user:secret@host/db")
    script = (
        "print(json.dumps(arguments)); print('   0.1 min 100.0 % reading'); "
        "print('   1.5 min  50.0 % step 20 loss 0.41'); "
        "print(sorted(name for name in os.environ if name.startswith('SIXPOINT_')))"
    )
    place = replace(place, python=program(script))
    kind, context = TrainJobs(place), Context()
    _, parameters = JobKinds([kind]).parse("train", {**TRAIN, "minutes": 5, "steps": 40, "start_run": "earlier"})
    await kind.run(cast("Any", parameters), context)
    arguments = json.loads(context.lines[0])
    expected = "trainer train runs/first --data data/first --task annotation --minutes 5 --seed 1 --steps 40"
    assert arguments == f"{expected} --init runs/earlier".split()
    assert context.done == [
        (0.0, "writing the data"),
        (0.025, "case 1 of 2"),
        (0.05, "reading"),
        (0.525, "step 20 loss 0.41"),
        (1.0, ""),
    ]
    assert context.lines[3] == "[]"
    # Taken again after a kill, it goes on; another job does not write into its run.
    await kind.run(cast("Any", parameters), Context())
    with pytest.raises(FailedPrecondition, match="there is a run first already"):
        await kind.run(cast("Any", parameters), Context(job_id="b"))
    await kind.run(cast("Any", parameters), Context(caller("ada", tenant="north"), job_id="c"))


async def test_a_failed_program_says_why_without_its_folder(place: ProgramPlace, program: Callable[[str], str]) -> None:
    script = "print(f'error: {sys.argv[4]} is damaged'); raise SystemExit(3)"
    kind = TrainJobs(replace(place, python=program(script)))
    _, parameters = JobKinds([kind]).parse("train", TRAIN)
    with pytest.raises(FailedPrecondition, match="ended with code 3: error: runs/first is damaged"):
        await kind.run(cast("Any", parameters), Context())


async def test_a_link_out_of_the_folder_is_not_followed(place: ProgramPlace, tmp_path: Path) -> None:
    (tmp_path / "jobs/default/runs").mkdir(parents=True)
    (tmp_path / "jobs/default/runs/first").symlink_to(tmp_path)
    kind = TrainJobs(place)
    _, parameters = JobKinds([kind]).parse("train", TRAIN)
    with pytest.raises(FailedPrecondition, match="a link that leads elsewhere"):
        await kind.run(cast("Any", parameters), Context())


@pytest.mark.parametrize("kind", [TrainJobs, EvaluateJobs])
async def test_a_worker_without_settings_says_which_it_lacks(place: ProgramPlace, kind: Any) -> None:
    parameters = {"train": TRAIN, "evaluate": {"name": "a", "dataset": "liver", "modality": "CT", "model": "shared"}}
    made = kind(replace(place, folder=None))
    _, parsed = JobKinds([made]).parse(made.name, parameters[made.name])
    with pytest.raises(FailedPrecondition, match="SIXPOINT_JOBS_"):
        await made.run(parsed, Context())


@pytest.mark.parametrize(
    ("who", "model", "error"),
    [
        (caller("ada"), "shared", None),
        (caller("ada"), "new", None),
        (caller("eve", role=Role.ENGINEER), "shared", PermissionDenied),
        (caller("bob", tenant="north"), "theirs", None),
        (caller("bob", tenant="north"), "shared", PermissionDenied),
        (caller("bob", tenant="north"), "ours", PermissionDenied),
        (caller("bob", tenant="north"), "new", PermissionDenied),
    ],
)
async def test_who_may_publish_what(
    place: ProgramPlace, who: Principal, model: str, error: type[Exception] | None
) -> None:
    kind = PublishJobs(place)
    _, parameters = JobKinds([kind]).parse("publish", {"run": "first", "model": model})
    if error is None:
        await kind.check(cast("Any", parameters), principal=who)
    else:
        with pytest.raises(error):
            await kind.check(cast("Any", parameters), principal=who)


async def test_a_run_is_published_once_by_the_exporter(
    place: ProgramPlace, program: Callable[[str], str], tmp_path: Path
) -> None:
    """The exporter is a script here, which prints its arguments."""
    kind = PublishJobs(replace(place, python=program("print(json.dumps(arguments))")))
    _, parameters = JobKinds([kind]).parse("publish", {"run": "first", "model": "shared", "share": 0.5})
    with pytest.raises(FailedPrecondition, match="run first has no model"):
        await kind.run(cast("Any", parameters), Context())
    checkpoint = tmp_path / "jobs/default/runs/first/checkpoint.pt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_bytes(b"weights")
    context = Context()
    await kind.run(cast("Any", parameters), context)
    (line,) = context.lines
    for words in (["publish"], ["--once"], ["--name", "shared"], ["--share", "0.5"]):
        assert json.dumps(words)[1:-1] in line
    assert "--force" not in line
