"""The examples in other languages, built and run against a gateway: the mask is the SDK's."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import sixpoint
from gateway.server import Gateway
from sixpoint.geometry import Geometry
from sixpoint.phantom import make_phantom
from sixpoint.prompts import ExtremePoints, Point
from sixpoint.volume import Volume
from tests.support.paths import ROOT
from tests.viewers.support.programs import fetch_grpcurl, need, need_library, real_viewer

_EXAMPLES = ROOT / "examples"

pytestmark = real_viewer("examples")


@dataclass(frozen=True, eq=False)
class _Case:
    """What the examples are given, and what must come out."""

    raw: Path
    numbers: list[str]
    points: list[str]
    digest: str
    mask: sixpoint.Mask


@pytest.fixture(scope="module")
def case(http_gateway: Gateway, tmp_path_factory: pytest.TempPathFactory) -> _Case:
    phantom = make_phantom()
    volume = Volume(phantom.image.array, Geometry(phantom.image.geometry.size, phantom.image.geometry.spacing))
    raw = tmp_path_factory.mktemp("raw") / "ct.raw"
    raw.write_bytes(volume.array.tobytes())
    indices = np.argwhere(phantom.mask("liver"))[:, ::-1]
    extremes = [indices[pick(indices[:, axis])] for axis in range(3) for pick in (np.argmin, np.argmax)]
    points: list[Point] = [(int(x), int(y), int(z)) for x, y, z in extremes]
    with sixpoint.Client(f"127.0.0.1:{http_gateway.port}") as client, client.open_session(volume) as session:
        mask = session.annotate(ExtremePoints(points))
    numbers = [str(number) for number in (*volume.geometry.size, *volume.geometry.spacing)]
    return _Case(raw, numbers, [",".join(map(str, point)) for point in points], volume.digest, mask)


def _run(*command: str | Path, code: int = 0) -> str:
    done = subprocess.run([*map(str, command)], check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == code, done.stderr
    return done.stdout or done.stderr


def _check(command: list[str | Path], gateway: Gateway, case: _Case, tmp_path: Path) -> None:
    server, mask = f"127.0.0.1:{gateway.port}", tmp_path / "mask.raw"
    out = _run(*command, server, case.raw, *case.numbers, mask, *case.points)
    assert out == f"{case.mask.array.sum()} voxels by {case.mask.model} {case.mask.model_version}\n"
    assert mask.read_bytes() == case.mask.array.astype(np.uint8).tobytes()
    # What the gateway refuses is said in its words.
    refused = _run(*command, server, case.raw, *case.numbers, mask, "9999,1,1", *case.points[1:], code=1)
    assert "9999" in refused
    # Neither is a missing image sent, nor a mask lost in silence.
    missing = tmp_path / "missing.raw"
    assert str(missing) in _run(*command, server, missing, *case.numbers, mask, *case.points, code=1)
    nowhere = tmp_path / "nowhere" / "mask.raw"
    assert str(nowhere) in _run(*command, server, case.raw, *case.numbers, nowhere, *case.points, code=1)
    assert "abc" in _run(*command, server, case.raw, "abc", *case.numbers[1:], mask, *case.points, code=1)


@pytest.mark.viewer("examples: C++")
def test_cpp(http_gateway: Gateway, case: _Case, tmp_path: Path) -> None:
    packages = "libgrpc++-dev libprotobuf-dev protobuf-compiler-grpc libssl-dev libzstd-dev pkg-config g++ make"
    need(packages, "grpc_cpp_plugin", "pkg-config", "g++", "make")
    need_library("libprotobuf-dev", "protobuf")
    _run("make", "-C", _EXAMPLES / "cpp", "-B")
    _check([_EXAMPLES / "cpp" / "annotate"], http_gateway, case, tmp_path)


@pytest.mark.viewer("examples: JavaScript (Node.js)")
def test_javascript(http_gateway: Gateway, case: _Case, tmp_path: Path) -> None:
    need("nodejs npm", "node", "npm")
    _run("npm", "--prefix", _EXAMPLES / "js", "install", "--no-package-lock")
    _check(["node", _EXAMPLES / "js" / "annotate.mjs"], http_gateway, case, tmp_path)


@pytest.mark.viewer("examples: JavaScript (connect-web)")
def test_connect_web(http_gateway: Gateway, case: _Case, tmp_path: Path) -> None:
    """connect-web of npm, as web pages use it: Connect, without a proxy."""
    need("nodejs npm", "node", "npm")
    folder, mask = _EXAMPLES / "connect", tmp_path / "mask.raw"
    _run("npm", "--prefix", folder, "install", "--no-package-lock", "--no-audit", "--no-fund")
    _run("npm", "--prefix", folder, "run", "generate")
    url = f"http://127.0.0.1:{http_gateway.http_ports['http']}"
    command: list[str | Path] = ["node", folder / "annotate.mjs", url, case.digest, mask]
    out = _run(*command, *case.points)
    assert out == f"{case.mask.array.sum()} voxels by {case.mask.model} {case.mask.model_version}\n"
    assert mask.read_bytes() == case.mask.array.astype(np.uint8).tobytes()
    refused = _run(*command, "9999,1,1", *case.points[1:], code=1)
    assert refused.startswith("InvalidArgument: ")
    assert "9999" in refused


@pytest.mark.viewer("examples: grpcurl")
def test_grpcurl(http_gateway: Gateway, case: _Case, monkeypatch: pytest.MonkeyPatch) -> None:
    need("jq", "jq")
    # Last: beside it lies a Python of its own.
    monkeypatch.setenv("PATH", f"{os.environ['PATH']}{os.pathsep}{fetch_grpcurl().parent}")
    script, server = _EXAMPLES / "grpcurl" / "annotate.sh", f"127.0.0.1:{http_gateway.port}"
    answer = json.loads(_run("bash", script, server, case.digest, *case.points))
    assert int(answer["voxels"]) == case.mask.array.sum()
    assert answer["model"] == "annotation"
