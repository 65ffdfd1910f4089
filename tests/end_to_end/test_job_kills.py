"""Gateways, workers and trainers are killed at random moments while people save masks and jobs run.

JOB_KILLS sets how often; the moments and the victims are drawn from a seed.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

import sixpoint
from sixpoint import errors
from sixpoint.client import JobInfo
from sixpoint.volume import Volume
from tests.end_to_end.command_line import run
from tests.support.images import noisy_volume
from tests.support.paths import ROOT, TRITON_ENVIRONMENT
from tests.support.ports import free_port
from tests.support.servers import running_triton

KILLS = int(os.environ.get("JOB_KILLS", "4"))
IMAGES = 8
_SECONDS = 600.0
_PATIENT = sixpoint.Retry(attempts=50)
# What jobs say that were resumed too often without a step forward.
_KILLED_OFTEN = ("died again and again", "ended by signal 9", "no model is called")
_AWAY = (errors.Unavailable, errors.DeadlineExceeded)

pytestmark = [
    pytest.mark.triton,
    pytest.mark.slow,
    pytest.mark.timeout(900 + 20 * KILLS),
    pytest.mark.filterwarnings("ignore::sixpoint.ImplausibleImageWarning"),
]


@dataclass
class Site:
    """A gateway and a worker of its own, both started again whenever they were killed."""

    environment: dict[str, str]
    address: str
    repository: Path
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self) -> None:
        """Start what does not run."""
        for name, command in (("gateway", "serve"), ("worker", "worker")):
            if name not in self.processes or self.processes[name].poll() is not None:
                self.processes[name] = subprocess.Popen(
                    [sys.executable, "-m", "gateway", command], env=self.environment, cwd=ROOT
                )

    def kill(self, draw: random.Random) -> str:
        """Kill the gateway, a worker, or a program that it runs; return which."""
        found: list[tuple[str, psutil.Process]] = []
        for name, process in self.processes.items():
            with contextlib.suppress(psutil.NoSuchProcess):
                parent = psutil.Process(process.pid)
                found += [(name, parent), *((_kind(each), each) for each in parent.children(recursive=True))]
        # As often of each kind: a training has many processes.
        kind = draw.choice(sorted({name for name, _ in found} - {"other"}))
        victim = draw.choice([process for name, process in found if name == kind])
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim.pid, signal.SIGKILL)
        return kind

    def stop(self) -> None:
        """End both."""
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            process.wait(60)


def _kind(process: psutil.Process) -> str:
    try:
        command = process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return "other"
    return next((name for name in ("worker", "trainer", "exporter") if name in command), "other")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    if not TRITON_ENVIRONMENT.is_dir():
        pytest.skip("Triton is not installed: make triton")
    repository, port = tmp_path / "models", free_port()
    shutil.copytree(ROOT / "model_repository", repository)
    with ExitStack() as stack:
        triton = stack.enter_context(running_triton(repository))
        environment = os.environ | {
            "SIXPOINT_PORT": str(port),
            "SIXPOINT_TRITON_URL": triton.address,
            "SIXPOINT_TRITON_MODEL_REPOSITORY": str(repository),
            "SIXPOINT_STATE_FOLDER": str(tmp_path / "state"),
            "SIXPOINT_WORKER_KINDS": "segment,train,publish",
            "SIXPOINT_JOBS_FOLDER": str(tmp_path / "jobs"),
        }
        site = Site(environment, f"127.0.0.1:{port}", repository)
        stack.callback(site.stop)
        site.start()
        yield site


def _images() -> list[tuple[Volume, np.ndarray]]:
    volume = noisy_volume((40, 36, 32))
    found = []
    for number in range(IMAGES):
        mask = np.zeros(volume.array.shape, np.uint8)
        mask[8:22, 9:24, 10 + number : 26] = 1
        image = np.where(mask, volume.array + np.int16(500 + number), volume.array + np.int16(number))
        found.append((Volume(image.astype(np.int16), volume.geometry), mask))
    return found


class Annotator(threading.Thread):
    """Saves and accepts masks, one after another, and keeps what was acknowledged."""

    def __init__(self, address: str, digests: list[str], masks: list[np.ndarray]) -> None:
        super().__init__()
        self.acknowledged: dict[str, tuple[int, np.ndarray]] = {}
        self.ended = threading.Event()
        self.failure: BaseException | None = None
        self._address, self._digests, self._masks = address, digests, masks

    def run(self) -> None:
        """Annotate until ended."""
        draw = random.Random(1)
        try:
            with sixpoint.Client(self._address, retry=_PATIENT) as client:
                while not self.ended.wait(0.3):
                    chosen = draw.randrange(IMAGES)
                    mask = self._masks[chosen].copy()
                    mask[9, 10, 20] = draw.randrange(2)
                    with contextlib.suppress(*_AWAY):
                        saved = client.datasets.add_masks("lumps", self._digests[chosen], {"lump": mask})
                        client.datasets.review(saved.id, "accepted")
                        self.acknowledged[saved.id] = (chosen, mask)
        except BaseException as failure:
            self.failure = failure


class Work:
    """Jobs of each kind, one after another: trainings, each published, and segmentations."""

    def __init__(self, client: sixpoint.Client) -> None:
        self.jobs: dict[str, JobInfo] = {}
        self._client = client
        self._runs = self._published = 0

    @property
    def going(self) -> set[str]:
        """Kinds of the jobs that have not succeeded."""
        return {job.kind for job in self.jobs.values() if job.state != "succeeded"}

    def look(self) -> None:
        """See how the jobs are, and resume what failed because it was killed too often."""
        for job_id in [job.id for job in self.jobs.values() if job.state != "succeeded"]:
            self.jobs[job_id] = job = self._client.jobs.get(job_id)
            if job.state == "failed":
                assert any(why in job.error for why in _KILLED_OFTEN), job
                self._client.jobs.resume(job_id)

    def keep_busy(self) -> None:
        """Look, and begin what comes next."""
        self.look()
        if not self.going & {"train", "publish"}:
            if self._published < self._runs:
                self.publish()
            else:
                self._runs += 1
                training = {"run": f"run-{self._runs}", "dataset": "lumps", "modality": "MRI", "seed": self._runs}
                self._begin("train", training | {"task": "segmentation", "steps": 3, "minutes": 5, "batch": 1})
        if "segment" not in self.going:
            self._begin("segment", {"dataset": "drafts", "model": "segmentation_hippocampus"})

    def publish(self) -> None:
        """Publish the last run, unless that is done."""
        if self._published < self._runs:
            self._begin("publish", {"run": f"run-{self._runs}", "model": "lumps", "force": True})
            self._published += 1

    def finish(self) -> None:
        """Wait until every job has succeeded."""
        end = time.monotonic() + _SECONDS
        while self.going:
            assert time.monotonic() < end, self.jobs
            time.sleep(0.2)
            self.look()

    def _begin(self, kind: str, parameters: Mapping[str, Any]) -> None:
        job = self._client.jobs.create(kind, parameters)
        self.jobs[job.id] = job


def _wait_for_models(client: sixpoint.Client) -> None:
    end = time.monotonic() + 120
    while True:
        with contextlib.suppress(errors.Unavailable):
            if client.models():
                return
        assert time.monotonic() < end
        time.sleep(0.2)


def _prepare(client: sixpoint.Client, images: list[tuple[Volume, np.ndarray]]) -> list[str]:
    """Make a dataset with an accepted mask of each image, and one that waits for drafts; return the images' digests."""
    client.datasets.create("lumps", labels=["lump"], validation_share=0, test_share=0)
    client.datasets.create("drafts", labels=["anterior", "posterior"])
    digests = []
    for number, (image, mask) in enumerate(images):
        digests.append(client.datasets.add_image("lumps", image, case_name=f"case-{number}").digest)
        client.datasets.add_image("drafts", image, case_name=f"case-{number}")
        client.datasets.review(client.datasets.add_masks("lumps", digests[-1], {"lump": mask}).id, "accepted")
    return digests


def test_nothing_accepted_is_lost_and_every_job_ends_whatever_is_killed(site: Site) -> None:
    draw, killed = random.Random(0), Counter[str]()
    images = _images()
    with sixpoint.Client(site.address, retry=_PATIENT) as client:
        _wait_for_models(client)
        digests = _prepare(client, images)
        annotator, work = Annotator(site.address, digests, [mask for _, mask in images]), Work(client)
        annotator.start()
        try:
            while killed.total() < KILLS:
                with contextlib.suppress(*_AWAY):
                    work.keep_busy()
                time.sleep(draw.uniform(0.5, 5))
                killed[site.kill(draw)] += 1
                time.sleep(draw.uniform(0, 1))
                site.start()
        finally:
            annotator.ended.set()
            annotator.join(_SECONDS)
        assert annotator.failure is None, annotator.failure
        work.finish()
        work.publish()
        work.finish()
        kinds = Counter(job.kind for job in work.jobs.values())
        print(f"killed {dict(killed)}; {len(annotator.acknowledged)} masks; jobs {dict(kinds)}")  # noqa: T201

        kept = {each.id: each for each in client.datasets.annotations("lumps")}
        assert len(annotator.acknowledged) > KILLS / 2
        for annotation_id, (chosen, mask) in annotator.acknowledged.items():
            assert (kept[annotation_id].state, kept[annotation_id].image_digest) == ("accepted", digests[chosen])
            assert np.array_equal(client.datasets.masks(annotation_id).mask("lump").array, mask)
        drafts = client.datasets.annotations("drafts")
        assert sorted(each.image_digest for each in drafts) == sorted(digests), "one draft of each image"
        listed = run("exporter", "versions", "lumps", "--repository", site.repository, "--json")
        origins = [each["record"]["spec"]["provenance"]["checkpoint_sha256"] for each in json.loads(listed.stdout)]
        assert len(origins) == len(set(origins)) == kinds["publish"] == kinds["train"] > 0, "each once"
        segmented = client.segment(images[0][0], model="lumps")
        assert segmented.mask("lump").array.shape == images[0][1].shape
