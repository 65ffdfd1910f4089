"""Publishers that are killed: the repository stays valid, Triton serves, and the next publisher cleans up."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from exporter.publishing.publish import publish
from exporter.publishing.triton import Triton
from exporter.repository.folder import FolderRepository
from exporter.repository.validate import validate
from exporter.repository.view import finished_versions
from sixpoint.errors import FailedPrecondition
from tests.exporter.publish_helpers import asking, prepared_model
from tests.support.models import write_ellipsoid_model
from tests.support.paths import TRITON_ENVIRONMENT
from tests.support.servers import running_triton

KILLS = int(os.environ.get("EXPORTER_KILLS", "15"))
# About the duration of a publish.
SECONDS = 1.5


@contextlib.contextmanager
def publisher(repository: Path, address: str) -> Iterator[subprocess.Popen[str]]:
    """The process that forks publishers."""
    command = [sys.executable, "-m", "tests.exporter.publishing.killing", str(repository), address]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield process
        finally:
            assert process.stdin is not None
            process.stdin.close()


def start(process: subprocess.Popen[str]) -> tuple[int, threading.Event]:
    """Have the process fork a publisher; returns its id, and an event that is set when it has ended."""
    assert process.stdin is not None
    assert process.stdout is not None
    output = process.stdout
    process.stdin.write("\n")
    process.stdin.flush()
    child, ended = int(output.readline()), threading.Event()

    def wait() -> None:
        output.readline()
        ended.set()

    threading.Thread(target=wait).start()
    return child, ended


@pytest.mark.triton
@pytest.mark.timeout(60 + 5 * KILLS)
def test_a_killed_publisher_leaves_a_valid_repository_and_a_serving_triton(
    tmp_path: Path,
) -> None:
    if not TRITON_ENVIRONMENT.is_dir():
        pytest.skip("Triton is not installed: make triton")
    moments = random.Random(0)
    models = FolderRepository(tmp_path / "repository")
    write_ellipsoid_model(models.folder / "resident")
    tiny = prepared_model(tmp_path)
    with contextlib.ExitStack() as stack:
        address = stack.enter_context(running_triton(models.folder)).address
        triton = stack.enter_context(Triton(address, timeout=30))
        publish(models, tiny, triton=triton)
        process = stack.enter_context(publisher(models.folder, address))
        asked = [stack.enter_context(asking(address, by_version=one)) for one in (False, True)]
        killed = 0
        for _ in range(KILLS):
            child, done = start(process)
            if not done.wait(moments.uniform(0, SECONDS)):
                os.kill(child, signal.SIGKILL)
                killed += 1
            done.wait()
            assert [problem for one in validate(models.folder) for problem in one.problems] == []
        assert killed
        version = publish(models, tiny, triton=triton).version
        time.sleep(0.2)
    assert [one.failures for one in asked] == [{}, {}]
    assert finished_versions(models, "tiny") == models.versions("tiny")
    assert models.versions("tiny")[-1] == version
    assert [path for path in models.folder.rglob("*") if path.name.startswith(".")] == []


def test_concurrent_publishers_take_turns(tmp_path: Path) -> None:
    tiny = prepared_model(tmp_path)
    models = FolderRepository(tmp_path / "repository")
    with ThreadPoolExecutor(4) as pool:
        versions = list(pool.map(lambda _: publish(models, tiny, triton=None).version, range(8)))
    assert sorted(versions) == list(range(1, 9))
    assert [one.problems for one in validate(models.folder)] == [()]
    with (
        models.lock(wait=0),
        pytest.raises(FailedPrecondition, match=r"another exporter is writing to .* \(--wait\)"),
    ):
        publish(models, tiny, triton=None, wait=0.1)
