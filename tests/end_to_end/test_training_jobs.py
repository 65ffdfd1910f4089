"""Jobs train a model on what was accepted, publish it, and segment with it; with the real programs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

import sixpoint
from sixpoint import errors
from sixpoint.volume import Volume
from tests.end_to_end.command_line import run
from tests.support.images import noisy_volume
from tests.support.paths import ROOT, TRITON_ENVIRONMENT
from tests.support.ports import free_port
from tests.support.servers import running_triton

pytestmark = [
    pytest.mark.triton,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore::sixpoint.ImplausibleImageWarning"),
]
_SECONDS = 600.0


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Address of a gateway whose worker runs every kind, and the folder of its jobs."""
    if not TRITON_ENVIRONMENT.is_dir():
        pytest.skip("Triton is not installed: make triton")
    root = tmp_path_factory.mktemp("training")
    repository, address = root / "models", f"127.0.0.1:{free_port()}"
    shutil.copytree(ROOT / "model_repository", repository)
    with ExitStack() as stack:
        triton = stack.enter_context(running_triton(repository))
        environment = os.environ | {
            "SIXPOINT_PORT": address.split(":")[1],
            "SIXPOINT_TRITON_URL": triton.address,
            "SIXPOINT_TRITON_MODEL_REPOSITORY": str(repository),
            "SIXPOINT_STATE_FOLDER": str(root / "state"),
            "SIXPOINT_WORKER_KINDS": "segment,train,evaluate,publish",
            "SIXPOINT_JOBS_FOLDER": str(root / "jobs"),
            "SIXPOINT_JOBS_SERVER": address,
        }
        gateway = subprocess.Popen([sys.executable, "-m", "gateway", "serve"], env=environment, cwd=ROOT)
        try:
            yield address, root / "jobs"
        finally:
            gateway.terminate()
            assert gateway.wait(60) == 0


@pytest.fixture
def client(site: tuple[str, Path]) -> Iterator[sixpoint.Client]:
    with sixpoint.Client(site[0]) as client:
        end = time.monotonic() + 120
        while True:
            try:
                if client.models():
                    break
            except errors.Unavailable:
                pass
            assert time.monotonic() < end
            time.sleep(0.2)
        yield client


def _accepted(client: sixpoint.Client, dataset: str, count: int) -> None:
    client.datasets.create(dataset, labels=["lump"], validation_share=0, test_share=0)
    for number in range(count):
        volume = noisy_volume((40, 36, 32))
        array = volume.array + np.int16(number)
        mask = np.zeros(array.shape, np.uint8)
        mask[8:22, 9:24, 10 + number : 26] = 1
        image = Volume(np.where(mask, array + np.int16(500), array), volume.geometry)
        digest = client.datasets.add_image(dataset, image, case_name=f"case-{number}").digest
        client.datasets.review(client.datasets.add_masks(dataset, digest, {"lump": mask}).id, "accepted")


def test_a_model_is_trained_published_and_used_by_jobs(client: sixpoint.Client, site: tuple[str, Path]) -> None:
    address, folder = site
    _accepted(client, "lumps", 6)
    train = ("run=first", "dataset=lumps", "modality=MRI", "task=segmentation", "steps=2", "minutes=5", "batch=1")
    done = run("sixpoint", "jobs", "start", "train", *train, "--watch", "--json", server=address)
    job = json.loads(done.stdout)
    lines = [line.text for line in client.jobs.lines(job["id"])]
    assert (done.returncode, job["state"]) == (0, "succeeded"), lines
    assert not [line for line in lines if str(folder) in line], "nobody learns where the files are"

    published = client.jobs.create("publish", {"run": "first", "model": "lumps", "force": True})
    ended = client.jobs.watch(published.id, seconds=_SECONDS)
    assert ended.state == "succeeded", [line.text for line in client.jobs.lines(published.id)]
    assert "lumps" in {model.name for model in client.models()}
    # As after a kill between publishing and its note.
    again = client.jobs.watch(
        client.jobs.create("publish", {"run": "first", "model": "lumps", "force": True}).id, seconds=_SECONDS
    )
    (told,) = [line.text for line in client.jobs.lines(again.id)]
    assert told == "lumps version 1 was published of this file before, and is serving: nothing was published"

    fresh = noisy_volume((40, 36, 32))
    digest = client.datasets.add_image("lumps", fresh, case_name="fresh").digest
    segmented = client.jobs.watch(client.jobs.segment("lumps", "lumps").id, seconds=_SECONDS)
    assert segmented.state == "succeeded"
    assert [each.model for each in client.datasets.annotations("lumps", digest=digest)] == ["lumps"]


def test_a_model_is_measured_by_a_job(client: sixpoint.Client, site: tuple[str, Path]) -> None:
    address, folder = site
    _accepted(client, "measured", 1)
    parameters = ("name=before", "dataset=measured", "modality=MRI", "model=annotation", "limit=1", "split=training")
    done = run("sixpoint", "jobs", "start", "evaluate", *parameters, "--watch", server=address)
    assert done.returncode == 0, (done.stdout, done.stderr)
    assert [path.name for path in folder.glob("*/evaluations/*")] == ["before"]


def test_a_failed_training_says_why_and_a_wrong_parameter_is_named(
    client: sixpoint.Client, site: tuple[str, Path]
) -> None:
    client.datasets.create("empty", labels=["lump"])
    parameters = {"run": "none", "dataset": "empty", "modality": "MRI", "task": "segmentation"}
    failed = client.jobs.watch(client.jobs.create("train", parameters).id, seconds=_SECONDS)
    assert (failed.state, "it has no images" in failed.error) == ("failed", True), failed.error
    whole = ("run=x", "dataset=empty", "modality=MRI", "task=segmentation")
    for text, words in (("run=../x", "run"), ("minutes", "NAME=VALUE"), ("path=/etc", "path")):
        done = run("sixpoint", "jobs", "start", "train", *whole, text, server=site[0])
        assert (done.returncode != 0, words in done.stderr) == (True, True), done.stderr
