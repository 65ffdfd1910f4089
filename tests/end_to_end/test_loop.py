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

import numpy as np
import pytest
import torch

import sixpoint
import trainer
from exporter.publishing.status import list_versions
from exporter.repository.open import open_repository
from sixpoint.errors import FailedPrecondition
from sixpoint.loop import Choice, Learning, Rules, read_decisions, replay
from sixpoint.loop.decisions import PublishFacts
from sixpoint.loop.rules import Gates, PublishRules, SegmentationRules, TrainRules, TrialRules
from sixpoint.model_spec import ModelSpec, NetworkSpec
from tests.end_to_end.command_line import run
from tests.end_to_end.processes import is_running, wait_for, wait_until_gone
from tests.support.images import noisy_volume
from tests.support.paths import ROOT, TRITON_ENVIRONMENT
from tests.support.servers import running_gateway, running_triton
from trainer.data.spec_files import read_spec
from trainer.training.checkpoint import publish as write_checkpoint
from trainer.training.network import build_network

pytestmark = [
    pytest.mark.triton,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore::sixpoint.ImplausibleImageWarning"),
]
MODEL = "novice"


def slim_spec() -> ModelSpec:
    whole = read_spec(Path(trainer.__file__).with_name("annotation.yaml"))
    assert whole.network is not None
    network = NetworkSpec(name="UNet", arguments={**whole.network.arguments, "channels": [4, 8, 8, 8, 8]})
    small = whole.roi.model_copy(update={"size": (32, 32, 32)})
    return whole.model_copy(update={"network": network, "roi": small})


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, Path]]:
    """Addresses of a gateway and of Triton, and the repository with version 1 of the model."""
    if not TRITON_ENVIRONMENT.is_dir():
        pytest.skip("Triton is not installed: make triton")
    root = tmp_path_factory.mktemp("loop")
    spec, repository = slim_spec(), root / "models"
    torch.manual_seed(0)
    (root / "start").mkdir()
    weights = build_network(spec).state_dict()
    # It answers nothing, so that whatever is learnt is not worse, on any machine.
    next(value for name, value in reversed(weights.items()) if name.endswith("bias")).fill_(-8.0)
    write_checkpoint(root / "start", weights, spec)
    done = run("exporter", "publish", root / "start" / "checkpoint.pt", "--name", MODEL, "--repository", repository)
    assert done.returncode == 0, done.stderr
    with running_triton(repository) as triton, running_gateway(triton_url=triton.address) as gateway:
        yield f"127.0.0.1:{gateway.port}", triton.address, repository


def add_cases(client: sixpoint.Client, name: str, numbers: range) -> None:
    """Annotate cases with the model that serves, as far as it can, and accept what was painted."""
    z, y, x = np.indices((24, 28, 30))
    for number in numbers:
        truth = (((z - 12) / 8) ** 2 + ((y - 14) / 9) ** 2 + ((x - 14 - number % 3) / 9) ** 2 < 1).astype(np.uint8)
        noise = noisy_volume((30, 28, 24))
        volume = sixpoint.Volume((noise.array // 4 + 200 * truth + number).astype(np.int16), noise.geometry)
        image = client.datasets.add_image(name, volume, case_name=f"case-{number}")
        with client.open_session(volume, model=MODEL) as session:
            session.annotate(sixpoint.ExtremePoints.of_mask(truth))
            session.annotate(sixpoint.Scribble(truth > 0, positive=True))
            session.rename(1, "ball")
            saved = client.datasets.save(name, session.id)
        assert (saved.image_digest, saved.model) == (image.digest, MODEL)
        client.datasets.review(saved.id, "accepted")


def learning(
    client: sixpoint.Client, servers: tuple[str, str, Path], name: str, folder: Path, rules: Rules
) -> Learning:
    return Learning(client=client, dataset=name, rules=rules, folder=folder, repository=servers[2], triton=[servers[1]])


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
        lost = Learning(
            client=client, dataset="nowhere", rules=rules(), folder=tmp_path, repository=tmp_path, triton=["x:1"]
        )
        with pytest.raises(FailedPrecondition, match=r"exporter: .*novice"):
            lost.run_once()
    assert read_decisions(tmp_path) == []
