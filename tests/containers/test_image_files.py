"""The gateway's image with and without what reads image files: its size, and what it says over HTTP."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import sixpoint
from tests.containers.built_image import IMAGE, Built
from tests.containers.compose_services import wait_for
from tests.containers.engine import HARDENED, python_of_debian
from tests.support.images import noisy_volume
from tests.support.paths import ROOT
from tests.support.ports import free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

WITH_FILES = "localhost/sixpoint-gateway-images"
# SimpleITK alone takes 272 MB.
MAX_MB = 720


@pytest.fixture(scope="module")
def with_files(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The image that reads image files, too."""
    context = tmp_path_factory.mktemp("context")
    shutil.copytree(built.context, context, dirs_exist_ok=True)
    command = [
        ROOT / "containers" / "wheels.py",
        "gateway",
        "--image-files",
        "--output",
        context / "out/wheels/gateway",
    ]
    subprocess.run([python_of_debian(), *map(str, command)], check=True, capture_output=True)
    containerfile = context / "containers" / "gateway.Containerfile"
    built.engine.build(containerfile, context, tag=WITH_FILES, BASE=built.base, VERSION=sixpoint.__version__)
    return built


@pytest.fixture(params=[IMAGE, WITH_FILES])
def api(request: pytest.FixtureRequest, with_files: Built) -> Iterator[tuple[str, str]]:
    """A gateway of an image that has no rights, without Triton; yields the image and the address of its API."""
    port, status_port = free_port(), free_port()
    settings = {
        "HOST": "127.0.0.1",
        "PORT": free_port(),
        "HTTP_PORT": port,
        "STATUS_PORT": status_port,
        "TRITON_URL": f"127.0.0.1:{free_port()}",
    }
    options = [f"--env=SIXPOINT_{name}={value}" for name, value in settings.items()]
    engine = with_files.engine
    engine.run(
        "--detach", "--name", "viewers", *HARDENED, "--tmpfs", "/var/lib/sixpoint:mode=1777", *options, request.param
    )
    try:
        wait_for(lambda: _answers(f"http://127.0.0.1:{port}/"), what=engine.podman("logs", "viewers").stdout)
        yield request.param, f"http://127.0.0.1:{port}/api/v1"
    finally:
        engine.podman("rm", "--force", "--time", "0", "viewers")


def test_its_size(with_files: Built) -> None:
    assert with_files.engine.inspect(WITH_FILES)["Size"] < MAX_MB * 1e6


def test_image_files(api: tuple[str, str], tmp_path: Path) -> None:
    image, url = api
    noisy_volume().write(tmp_path / "a.nii.gz")
    content = (tmp_path / "a.nii.gz").read_bytes()
    seconds = list[float]()
    for _ in range(2):
        answer = httpx.post(f"{url}/images", params={"format": "nii.gz"}, content=content, timeout=60, trust_env=False)
        seconds.append(answer.elapsed.total_seconds())
    if image == WITH_FILES:
        assert answer.status_code < 300, answer.text
        assert noisy_volume().digest in answer.text
        # From byte code: without it, to import what reads the file takes longer each time.
        assert min(seconds) < 5
    else:
        assert answer.status_code == 409, answer.text
        assert "installed without the packages that read image files" in answer.text


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False
