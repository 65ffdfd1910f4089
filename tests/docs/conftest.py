"""Servers with the shipped models only, as a reader of the docs has them, and the files that the pages read."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.docs.pictures import PICTURES
from tests.support.paths import ROOT, TRITON_ENVIRONMENT

# A crop of the phantom that a small network sees in a second, [z, y, x].
_CROP = (slice(0, 30), slice(20, 60), slice(20, 60))


@dataclass(frozen=True)
class Servers:
    """Addresses of the servers, and the model repository that Triton serves."""

    gateway: str
    http: str
    triton: str
    repository: Path

    def localised(self, text: str) -> str:
        """A command or a program, with the addresses of these servers for the default ones, and short trainings."""
        text = text.replace("127.0.0.1:50051", self.gateway).replace("127.0.0.1:8001", self.triton)
        # A reader trains for minutes.
        text = text if PICTURES else text.replace("minutes: 4", "minutes: 4, steps: 1")
        return text.replace("127.0.0.1:8000", self.http)


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """The real Triton and a gateway, with the shipped models."""
    from tests.support.servers import running_gateway, running_triton

    if not TRITON_ENVIRONMENT.is_dir():
        pytest.skip("Triton is not installed: make triton")
    repository = tmp_path_factory.mktemp("docs") / "model_repository"
    shutil.copytree(ROOT / "model_repository", repository)
    with running_triton(repository) as triton, running_gateway(triton_url=triton.address, http_port=0) as gateway:
        http = f"127.0.0.1:{gateway.http_ports['http']}"
        yield Servers(f"127.0.0.1:{gateway.port}", http, triton.address, repository)


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that pages read: the phantom in ct/, and a small image for the segmentation model."""
    import numpy as np

    from sixpoint import Geometry, Volume

    folder = tmp_path_factory.mktemp("files")
    subprocess.run([sys.executable, "-m", "sixpoint", "phantom", "ct"], cwd=folder, check=True)
    array = np.ascontiguousarray(Volume.read(folder / "ct" / "image.nii.gz").array[_CROP])
    # No values below 0: as HU they would be warned about, since the model is made for MR.
    array -= array.min()
    Volume(array, Geometry(size=(40, 40, 30))).write(folder / "hippocampus.nii.gz")
    np.save(folder / "ct.npy", Volume.read(folder / "ct" / "image.nii.gz").array)
    return folder


@pytest.fixture
def reader(servers: Servers, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder and the environment in which a reader follows one page."""
    shutil.copytree(files, tmp_path, dirs_exist_ok=True)
    # As `make serve` has it: the shipped models in the checkout, and the copy that Triton serves.
    (tmp_path / "model_repository").symlink_to(ROOT / "model_repository")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "model_repository").symlink_to(servers.repository)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SIXPOINT_SERVER", servers.gateway)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    # So that tables are not wrapped.
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path
