"""A dataset is exported by a worker that is killed, and what another one finished comes back bit for bit."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

import sixpoint
from gateway.triton.local.server import LocalTriton
from sixpoint import errors
from sixpoint.client import JobInfo
from sixpoint.datasets import verify_manifest
from sixpoint.geometry import Geometry
from sixpoint.volume import Volume
from tests.end_to_end.command_line import run
from tests.support.paths import ROOT
from tests.support.ports import free_port

_IMAGES, _SECONDS = 10, 120.0

pytestmark = pytest.mark.filterwarnings("ignore::sixpoint.ImplausibleImageWarning")


@pytest.fixture
def site(triton: LocalTriton, tmp_path: Path) -> Iterator[tuple[str, Path, psutil.Process]]:
    """Address of a gateway, the folder of its exports and imports, and its process."""
    port, shared = free_port(), tmp_path / "shared"
    shared.mkdir()
    environment = os.environ | {
        "SIXPOINT_PORT": str(port),
        "SIXPOINT_TRITON_URL": triton.address,
        "SIXPOINT_STATE_FOLDER": str(tmp_path / "state"),
        "SIXPOINT_WORKER_KINDS": "export,import",
        "SIXPOINT_EXPORT_FOLDER": str(shared),
        "SIXPOINT_IMPORT_FOLDER": str(shared),
    }
    gateway = subprocess.Popen([sys.executable, "-m", "gateway", "serve"], env=environment, cwd=ROOT)
    try:
        yield f"127.0.0.1:{port}", shared, psutil.Process(gateway.pid)
    finally:
        gateway.terminate()
        assert gateway.wait(60) == 0


def _until(client: sixpoint.Client, job_id: str, wanted: Callable[[JobInfo], bool]) -> JobInfo:
    end = time.monotonic() + _SECONDS
    while not wanted(info := client.jobs.get(job_id)):
        assert time.monotonic() < end, info
        time.sleep(0.02)
    return info


def _fill(client: sixpoint.Client) -> None:
    """Make a dataset with accepted masks, and an empty one, once the gateway serves."""
    end = time.monotonic() + _SECONDS
    while True:
        with contextlib.suppress(errors.Unavailable):
            if client.models():
                break
        assert time.monotonic() < end
        time.sleep(0.2)
    generator = np.random.default_rng(1)
    geometry = Geometry(size=(96, 96, 96), spacing=(1.0, 1.0, 2.0))
    for name in ("whole", "copy"):
        client.datasets.create(name, labels=["liver", "spleen"], test_share=0.3)
    for number in range(_IMAGES):
        array = generator.integers(-1000, 1000, geometry.shape).astype(np.int16)
        digest = client.datasets.add_image("whole", Volume(array, geometry), case_name=f"case-{number}").digest
        liver, spleen = np.zeros((2, *geometry.shape), np.uint8)
        liver[10 : 20 + number, 5:60, 5:50], spleen[70:80, 30:60, 30:60] = 1, number % 2
        saved = client.datasets.add_masks("whole", digest, {"liver": liver, "spleen": spleen})
        client.datasets.review(saved.id, "accepted")


def _content(client: sixpoint.Client, dataset: str) -> set[tuple[str, str, str, str]]:
    names = {image.digest: image.case_name for image in client.datasets.images(dataset)}
    found = client.datasets.annotations(dataset)
    return {(names[each.image_digest], each.image_digest, each.digest, each.state) for each in found}


@pytest.mark.triton
@pytest.mark.slow
def test_a_killed_export_goes_on_and_comes_back(site: tuple[str, Path, psutil.Process]) -> None:
    address, shared, gateway = site
    with sixpoint.Client(address, retry=sixpoint.Retry(attempts=50)) as client:
        _fill(client)
        options = {"dataset": "whole", "name": "out", "modality": "CT"}
        job = client.jobs.create("export", options)
        _until(client, job.id, lambda info: info.done >= 2)
        for worker in gateway.children():
            if "worker" in worker.cmdline():
                os.kill(worker.pid, signal.SIGKILL)
        assert not (shared / "default/out").exists()
        ended = client.jobs.watch(job.id, seconds=_SECONDS)
        assert (ended.state, ended.done, ended.attempt) == ("succeeded", _IMAGES, 2), ended
        assert [path.name for path in (shared / "default").iterdir()] == ["out"]
        assert not verify_manifest(shared / "default/out")

        import_options = ("dataset=copy", "name=out", "accept=true", "--watch")
        imported = run("sixpoint", "jobs", "start", "import", *import_options, server=address)
        assert "succeeded" in imported.stdout, imported
        assert _content(client, "copy") == _content(client, "whole")
        hostile = ("dataset=whole", "name=../x", "modality=CT")
        refused = run("sixpoint", "jobs", "start", "export", *hostile, server=address)
        assert (refused.returncode, "parameter 'name'" in refused.stderr) == (3, True), refused
        with pytest.raises(errors.FailedPrecondition, match="SIXPOINT_WORKER_KINDS"):
            client.jobs.create("segment", {"dataset": "whole", "model": "m"})
        other = client.jobs.watch(client.jobs.create("export", options | {"layout": "msd"}).id, seconds=_SECONDS)
        assert (other.state, "there is an export out already" in other.error) == ("failed", True), other
