"""The programs in examples/rest: run as they are, against a gateway."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import sixpoint
from gateway.server import Gateway
from sixpoint._typing import Array
from sixpoint.prompts import ExtremePoints
from sixpoint.volume import Volume
from tests.gateway.http.rest.api import SIX
from tests.gateway.http.sites import read_mask
from tests.support.images import noisy_volume
from tests.support.paths import ROOT
from tests.support.ports import free_port

pytestmark = pytest.mark.viewer("examples: REST (shell, Python)")

EXAMPLES = ROOT / "examples" / "rest"
POINTS = [",".join(map(str, point)) for point in SIX]


@pytest.fixture(scope="module")
def url(http_gateway: Gateway) -> str:
    return f"http://127.0.0.1:{http_gateway.http_ports['http']}"


def of_grpc(gateway: Gateway, image: Volume) -> Array:
    with sixpoint.Client(f"127.0.0.1:{gateway.port}") as client, client.open_session(image) as session:
        return session.annotate(ExtremePoints(SIX)).array


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
@pytest.mark.parametrize("kind", ["nii.gz", "nrrd"])
def test_the_shell_example_saves_a_mask(http_gateway: Gateway, url: str, tmp_path: Path, kind: str) -> None:
    path, mask = tmp_path / f"image.{kind}", tmp_path / f"mask.{kind}"
    noisy_volume().write(path)
    command = ["bash", str(EXAMPLES / "annotate.sh"), url, str(path), *POINTS, str(mask)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    image = Volume.read(path)
    assert np.array_equal(read_mask(mask.read_bytes(), mask, image), of_grpc(http_gateway, image))


def test_the_python_example_sends_chunks_and_unpacks_the_mask(http_gateway: Gateway, url: str, tmp_path: Path) -> None:
    image = noisy_volume()
    raw, mask = tmp_path / "image.raw", tmp_path / "mask.raw"
    raw.write_bytes(image.array.tobytes())
    sizes = [str(number) for number in (*image.geometry.size, *image.geometry.spacing)]
    command = [sys.executable, str(EXAMPLES / "annotate.py"), url, str(raw), *sizes, str(mask), *POINTS]
    for _ in range(2):
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
    expected = of_grpc(http_gateway, image)
    assert done.stdout == f"{np.count_nonzero(expected)} voxels by annotation\n"
    found = hashlib.sha256(mask.read_bytes()).hexdigest()
    assert found == hashlib.sha256(np.ascontiguousarray(expected).tobytes()).hexdigest()


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
@pytest.mark.parametrize(
    ("image", "first", "said"),
    [
        ("image.nrrd", "9999,1,1", "points[0] at voxel (9999, 1, 1)"),
        ("image.nrrd", "1,1", "got 1,1"),
        ("text.nrrd", POINTS[0], "does not begin with NRRD"),
        ("missing.nrrd", POINTS[0], "missing.nrrd"),
    ],
)
def test_the_shell_example_says_what_is_wrong(url: str, tmp_path: Path, image: str, first: str, said: str) -> None:
    noisy_volume().write(tmp_path / "image.nrrd")
    (tmp_path / "text.nrrd").write_text("no image")
    mask = tmp_path / "mask.nrrd"
    mask.write_text("an earlier mask")
    command = ["bash", str(EXAMPLES / "annotate.sh"), url, image, first, *POINTS[1:], str(mask)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd=tmp_path)
    assert done.returncode == 1
    assert "error: " in done.stderr
    assert said in done.stderr
    assert mask.read_text() == "an earlier mask"


@pytest.mark.parametrize("program", ["annotate.sh", "annotate.py"])
def test_a_gateway_that_is_away_is_named(tmp_path: Path, program: str) -> None:
    image, url = tmp_path / "image.nrrd", f"http://127.0.0.1:{free_port()}"
    noisy_volume().write(image)
    sizes = ["40", "36", "32", "1", "1", "1"]
    words = (
        [str(image), *POINTS, "mask.nrrd"] if program == "annotate.sh" else [str(image), *sizes, "mask.raw", *POINTS]
    )
    command = ["bash" if program == "annotate.sh" else sys.executable, str(EXAMPLES / program), url, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd=tmp_path)
    assert done.returncode == 1
    assert f"error: no answer from {url}" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_refusal_is_said_in_the_gateways_words(url: str, tmp_path: Path) -> None:
    raw = tmp_path / "image.raw"
    raw.write_bytes(noisy_volume().array.tobytes())
    sizes = ["40", "36", "32", "1", "1", "1"]
    command = [sys.executable, str(EXAMPLES / "annotate.py"), url, str(raw), *sizes, "mask.raw", *["1,1,1"] * 6]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "plane" in done.stderr
