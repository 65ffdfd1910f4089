"""The entry points of all programs: without their extras, their version, misspelt variables."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.support.paths import ROOT

# Modules of the packages of each extra that the client has not.
_PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
_MODULES = {
    "grpcio-health-checking": "grpc_health",
    "grpcio-reflection": "grpc_reflection",
    "lightning-fabric": "lightning_fabric",
    "pydantic-settings": "pydantic_settings",
    "pymaxflow": "maxflow",
    "pyyaml": "yaml",
    "scikit-image": "skimage",
    "monai": "monai",
}
_PROGRAM = """
import sys
from importlib.abc import MetaPathFinder

class Absent(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
module, _, function = {entry!r}.partition(":")
sys.argv = {arguments!r}
getattr(__import__(module, fromlist=[function]), function)()
"""


def absent_modules() -> list[str]:
    """Top-level modules that only the extras bring."""
    extras = _PROJECT["optional-dependencies"]
    packages = {
        re.split(r"[\[<>=]", text)[0] for name in ("gateway", "exporter", "trainer") for text in extras[name]
    } - {re.split(r"[\[<>=]", text)[0] for text in _PROJECT["dependencies"]}
    return sorted(_MODULES.get(package, package.replace("-", "_")) for package in packages)


def run_program(
    program: str, *arguments: str, blocked: list[str], **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the entry point of a program, with some modules absent."""
    script = _PROGRAM.format(blocked=blocked, entry=_PROJECT["scripts"][program], arguments=[program, *arguments])
    command, variables = [sys.executable, "-c", script], os.environ | environment
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=ROOT, env=variables)


def run_as_client(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the entry point of a program with the packages of the client alone."""
    return run_program(program, *arguments, blocked=absent_modules())


@pytest.mark.parametrize(
    ("program", "arguments", "code"),
    [
        ("gateway", ["--help"], 1),
        ("gateway", ["serve"], 1),
        ("gateway", ["--version"], 1),
        ("exporter", ["export", "x"], 5),
        ("exporter", ["validate", "annotation"], 5),
        ("trainer", ["--help"], 5),
        ("trainer", ["train", "x"], 5),
    ],
)
def test_a_program_without_its_extra_says_what_to_install(program: str, arguments: list[str], code: int) -> None:
    done = run_as_client(program, *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert re.fullmatch(
        rf"error: the {program} needs (\w+), which is not installed: in a checkout of sixpoint, "
        rf'pip install "\.\[{program}\]"\n',
        done.stderr,
    )


def test_the_exporter_explains_itself_without_its_extra() -> None:
    done = run_as_client("exporter", "--help")
    assert (done.returncode, done.stderr) == (0, "")


def test_the_client_needs_no_extra() -> None:
    assert run_as_client("sixpoint", "--help").returncode == 0


@pytest.mark.parametrize("program", ["sixpoint", "gateway", "exporter", "trainer"])
def test_every_program_has_a_version_and_warns_of_a_misspelt_variable(program: str) -> None:
    done = run_program(program, "--version", blocked=[], SIXPOINT_SERVRE="secret")
    assert (done.returncode, done.stdout) == (0, f"sixpoint {_PROJECT['version']}\n")
    assert "secret" not in done.stderr
    if program != "gateway":
        assert "SIXPOINT_SERVRE is no setting of sixpoint and is ignored; did you mean SIXPOINT_SERVER?" in done.stderr


def test_the_gateway_warns_of_a_misspelt_setting_in_its_log(tmp_path: Path) -> None:
    # The port is taken, so that the gateway ends at once.
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        settings = {
            "SIXPOINT_PORT": str(taken.getsockname()[1]),
            "SIXPOINT_STATE_FOLDER": str(tmp_path),
            "SIXPOINT_TRITON_URI": "secret",
        }
        done = run_program("gateway", "serve", blocked=[], **settings)
    assert done.returncode == 1
    first = json.loads(done.stderr.splitlines()[0])
    assert first["level"] == "WARNING"
    assert (
        "SIXPOINT_TRITON_URI is no setting of sixpoint and is ignored; did you mean SIXPOINT_TRITON_URL?"
        in (first["message"])
    )
    assert "secret" not in done.stderr
