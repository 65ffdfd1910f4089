"""The whole circle with real processes: gateway, Triton, trainer, exporter, and a small network that knows nothing."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import sixpoint
from exporter.publishing.status import list_versions
from exporter.repository.open import open_repository
from sixpoint.errors import FailedPrecondition
from sixpoint.loop import Choice, Learning, Rules, read_decisions, replay
from sixpoint.loop.decisions import PublishFacts
from sixpoint.loop.rules import Gates, PublishRules, SegmentationRules, TrainRules, TrialRules
from tests.end_to_end.command_line import run
from tests.end_to_end.novice import MODEL, add_cases, novice_servers
from tests.end_to_end.processes import is_running, serving, wait_for, wait_until_gone
from tests.support.paths import ROOT

pytestmark = [
    pytest.mark.triton,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore::sixpoint.ImplausibleImageWarning"),
]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, Path]]:
    """Addresses of a gateway and of Triton, and the repository with version 1 of the model."""
    with novice_servers(tmp_path_factory.mktemp("loop")) as running:
        yield running


def learning(
    client: sixpoint.Client, servers: tuple[str, str, Path], name: str, folder: Path, rules: Rules
) -> Learning:
    return Learning.through(
        client, dataset=name, rules=rules, folder=folder, repository=servers[2], triton=[servers[1]]
    )


def rules(*, share: float = 1.0, may_fall: float = 1.0, steps: int = 2) -> Rules:
    return Rules(
        modality="CT",
        model=MODEL,
        licence="CC0-1.0",
        train=TrainRules(new_accepted=4, minimum=3, minutes=10, steps=steps),
        gates=Gates(may_fall=may_fall),
        publish=PublishRules(share=share),
        trial=TrialRules(masks=1, more_corrections=100),
    )


def versions(servers: tuple[str, str, Path]) -> dict[int, str]:
    return {each.version: each.state for each in list_versions(open_repository(str(servers[2])), MODEL)}


def test_what_was_accepted_becomes_a_version_that_says_where_it_came_from(
    servers: tuple[str, str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "loop"
    with sixpoint.Client(servers[0]) as client:
        client.datasets.create("balls", labels=["ball"])
        add_cases(client, "balls", range(3))
        circle = learning(client, servers, "balls", folder, rules(share=0.5))
        assert circle.run_once().choice is Choice.WAIT
        assert read_decisions(folder) == []
        add_cases(client, "balls", range(3, 5))
        verdict = circle.run_once()
        begun, ended = read_decisions(folder)
        assert (begun.verdict.choice, ended.verdict) == (Choice.TRAIN, verdict)
        digests = {info.digest for info in client.datasets.annotations("balls", state="accepted")}
        assert set(begun.annotations) == digests
        assert verdict.choice is Choice.PUBLISH, verdict
        assert (ended.started_from, ended.version) == ("1", "2")
        assert versions(servers) == {1: "serving", 2: "candidate"}
        card = json.loads((servers[2] / MODEL / "2" / "version.json").read_text())
        assert card["spec"]["provenance"]["annotations"].split() == sorted(digest[:16] for digest in digests)

        # Both versions are used, and the candidate is not worse: it serves.
        for number in range(5, 30):
            add_cases(client, "balls", range(number, number + 1))
            if circle.run_once().choice is not Choice.WAIT:
                break
        promoted = read_decisions(folder)[-1]
        assert promoted.verdict.choice is Choice.PROMOTE, promoted
        assert versions(servers)[2] == "serving"
    shown = run("sixpoint", "loop", "balls", "--folder", folder, "--replay")
    assert shown.returncode == 0
    assert "all 3 decisions are made again" in shown.stdout

    page = tmp_path / "report.html"
    done = run("sixpoint", "dataset", "report", "balls", "-o", page, "--loop", folder, "--server", servers[0])
    assert done.returncode == 0, done.stderr
    assert page.read_text().count("<svg") == 3
    assert "promote version 2" in page.read_text()


@pytest.mark.long
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_a_training_that_was_killed_goes_on_and_what_is_worse_is_refused(
    servers: tuple[str, str, Path], tmp_path: Path, number: signal.Signals, code: int
) -> None:
    folder, name = tmp_path / "loop", f"killed-{number}"
    strict = rules(steps=100_000).model_copy(update={"gates": Gates(must_rise=1.0)})
    with sixpoint.Client(servers[0]) as client:
        client.datasets.create(name, labels=["ball"])
        add_cases(client, name, range(20 + 20 * number, 24 + 20 * number))
        (tmp_path / "rules.yaml").write_text(json.dumps(strict.model_dump(mode="json")))
        command = [sys.executable, "-m", "sixpoint", "loop", name, "--rules", str(tmp_path / "rules.yaml")]
        command += ["--folder", str(folder), "--repository", str(servers[2]), "--triton", servers[1]]
        process = subprocess.Popen([*command, "--server", servers[0]], cwd=ROOT)
        deadline = time.monotonic() + 120
        while not (folder / "round-0001" / "run" / "metrics.json").exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.send_signal(number)
        assert process.wait(120) == code
        # Nobody trains on, who would disturb the next call.
        wait_until_gone("train", folder / "round-0001" / "run")
        (begun,) = read_decisions(folder)

        # The same round, with fewer steps: as if its time were over.
        text = (folder / "decisions.jsonl").read_text()
        (folder / "decisions.jsonl").write_text(text.replace('"steps":100000', '"steps":1'))
        before = versions(servers)
        verdict = learning(client, servers, name, folder, strict).run_once()
        assert verdict.choice is Choice.REFUSE
        assert "needed is 1" in verdict.reasons[0]
        assert versions(servers) == before
        last = read_decisions(folder)[-1]
        assert (last.round, last.annotations) == (1, begun.annotations)
        assert replay(read_decisions(folder)) == []
        # Nothing new was accepted: there is nothing to do.
        assert learning(client, servers, name, folder, strict).run_once().choice is Choice.WAIT


@pytest.mark.long
def test_a_loop_that_was_killed_before_it_recorded_publishes_nothing_twice(
    servers: tuple[str, str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "loop"
    easy = rules()
    with sixpoint.Client(servers[0]) as client:
        client.datasets.create("twice", labels=["ball"])
        add_cases(client, "twice", range(80, 84))
        before = versions(servers)
        (tmp_path / "rules.yaml").write_text(json.dumps(easy.model_dump(mode="json")))
        command = [sys.executable, "-m", "sixpoint", "loop", "twice", "--rules", str(tmp_path / "rules.yaml")]
        command += ["--folder", str(folder), "--repository", str(servers[2]), "--triton", servers[1]]
        process = subprocess.Popen([*command, "--server", servers[0]], cwd=ROOT)
        deadline = time.monotonic() + 600
        try:
            # It waits for the exporter from here on, and hears nothing of it any more.
            wait_for(lambda: is_running("publish", folder / "round-0001" / "run" / "checkpoint.pt"), process, deadline)
            process.send_signal(signal.SIGSTOP)
            wait_for(lambda: versions(servers).get(max(before) + 1) == "serving", process, deadline)
        finally:
            process.kill()
            process.wait()
        assert [each.verdict.choice for each in read_decisions(folder)] == [Choice.TRAIN]

        after = versions(servers)
        verdict = learning(client, servers, "twice", folder, easy).run_once()
        assert verdict.choice is Choice.PUBLISH
        assert versions(servers) == after
        assert read_decisions(folder)[-1].version == str(max(before) + 1)


@pytest.mark.long
def test_a_segmentation_model_is_learnt_and_a_job_segments_the_rest(
    servers: tuple[str, str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "loop"
    alone = SegmentationRules(model="balls", steps=2, minutes=10, segment=True)
    changes = {
        "learn": "segmentation",
        "segmentation": alone,
        "gates": Gates(may_fall=1.0, first_dice=0.0, may_slow=50),
    }
    wanted = rules().model_copy(update=changes)
    lines: list[str] = []
    with sixpoint.Client(servers[0]) as client:
        client.datasets.create("alone", labels=["ball"])
        add_cases(client, "alone", range(120, 124))
        circle = replace(learning(client, servers, "alone", folder, wanted), say=lines.append)
        assert circle.run_once().choice is Choice.PUBLISH, lines
        begun, ended = read_decisions(folder)
        assert (begun.task, ended.started_from, ended.version) == ("segmentation", "", "1")
        assert isinstance(ended.facts, PublishFacts)
        assert (ended.facts.first, dict(ended.facts.start), dict(ended.facts.seconds)) == (True, {}, {})
        (job,) = client.jobs.all()
        assert (job.kind, job.parameters["dataset"], job.parameters["model"]) == ("segment", "alone", "balls")

        # The next round goes on from it, and is measured beside it.
        add_cases(client, "alone", range(124, 128))
        assert circle.run_once().choice is Choice.PUBLISH, lines
        last = read_decisions(folder)[-1]
        assert (last.round, last.started_from, last.version) == (2, "1", "2")
        assert isinstance(last.facts, PublishFacts)
        assert set(last.facts.start) == set(last.facts.trained) == {"dice", "dice_ball"}
        assert set(last.facts.seconds) == {"start", "trained"}
        assert replay(read_decisions(folder)) == []
        assert circle.run_once().choice is Choice.WAIT


@pytest.mark.long
def test_what_was_compared_with_another_version_than_serves_is_refused(
    servers: tuple[str, str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "loop"
    with sixpoint.Client(servers[0]) as client:
        client.datasets.create("overtaken", labels=["ball"])
        add_cases(client, "overtaken", range(140, 144))
        circle = learning(client, servers, "overtaken", folder, rules())
        overtaking: list[str] = []

        def overtake(line: str) -> None:
            # Somebody publishes while the round trains.
            if line.startswith("training") and not overtaking:
                overtaking.append(line)
                source = servers[2].parent / "start" / "checkpoint.pt"
                done = run(
                    *("exporter", "publish", source, "--name", MODEL, "--force"),
                    *("--repository", servers[2], "--triton", servers[1]),
                )
                assert done.returncode == 0, done.stderr

        before = versions(servers)
        verdict = replace(circle, say=overtake).run_once()
        assert overtaking
        assert verdict.choice is Choice.REFUSE
        assert f"version {max(before) + 1} of {MODEL} serves now" in verdict.reasons[0]
        assert versions(servers)[max(before) + 1] == "serving"
        assert len(versions(servers)) == len(before) + 1


def test_a_program_that_fails_says_why(servers: tuple[str, str, Path], tmp_path: Path) -> None:
    with sixpoint.Client(servers[0]) as client:
        client.datasets.create("nowhere", labels=["ball"])
        add_cases(client, "nowhere", range(60, 64))
        lost = Learning.through(
            client, dataset="nowhere", rules=rules(), folder=tmp_path, repository=tmp_path, triton=["x:1"]
        )
        with pytest.raises(FailedPrecondition, match=r"exporter: .*novice"):
            lost.run_once()
    assert read_decisions(tmp_path) == []


def test_a_round_is_a_job_whose_decisions_are_told_and_whose_version_may_be_taken_back(
    servers: tuple[str, str, Path], tmp_path: Path
) -> None:
    wanted = rules().model_copy(update={"gates": Gates(may_fall=1.0, may_slow=None)})
    (tmp_path / "rules.yaml").write_text(wanted.model_dump_json())
    settings = {
        "TRITON_URL": servers[1],
        "TRITON_MODEL_REPOSITORY": servers[2],
        "STATE_FOLDER": tmp_path / "state",
        "WORKER_KINDS": "learn",
        "JOBS_FOLDER": tmp_path / "jobs",
    }
    with serving(**settings) as client:
        client.datasets.create("rounds", labels=["ball"])
        done = run("sixpoint", "learning", "rules", "rounds", tmp_path / "rules.yaml", server=client.target)
        assert (done.returncode, f"annotation model {MODEL}: waiting, round 0" in done.stdout) == (0, True), done.stderr
        add_cases(client, "rounds", range(160, 164))
        before = versions(servers)
        done = run("sixpoint", "learning", "round", "rounds", "--watch", "--json", server=client.target)
        job = json.loads(done.stdout)
        lines = [line.text for line in client.jobs.lines(job["id"])]
        new, old = str(max(before) + 1), next(str(each) for each in before if before[each] == "serving")
        assert (job["state"], lines[-1].partition(":")[0]) == ("succeeded", f"publish version {new}"), (job, lines)
        assert not [line for line in lines if str(tmp_path) in line or str(servers[2]) in line], "paths are told"
        begun, ended = client.learning.decisions("rounds")
        assert (begun.choice, ended.choice, ended.started_from, ended.version) == ("train", "publish", old, new)
        accepted = {info.digest for info in client.datasets.annotations("rounds", state="accepted")}
        assert set(begun.annotation_digests) == accepted
        shown = run("sixpoint", "learning", "decisions", "rounds", "--replay", server=client.target)
        assert "all 2 decisions are made again" in shown.stdout, shown.stderr

        # Nothing is new; and what was published is taken back.
        for started, line in (
            (client.learning.start_round("rounds"), "wait: 0 new accepted annotations, 4 are waited for"),
            (client.learning.roll_back("rounds"), f"version {old} of {MODEL} serves"),
        ):
            assert client.jobs.watch(started.id, seconds=600).state == "succeeded"
            assert client.jobs.lines(started.id)[-1].text == line
        assert versions(servers)[int(old)] == "serving"
