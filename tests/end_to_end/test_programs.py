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


@pytest.mark.parametrize("arguments", [["--help"], ["serve"], ["--version"]])
def test_without_its_extra_the_gateway_says_what_to_install(arguments: list[str]) -> None:
    done = run_as_client("gateway", *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert re.fullmatch(
        r'error: the gateway needs (\w+), which is not installed: pip install "sixpoint\[gateway\]", or in a checkout '
        r'pip install "\.\[gateway\]"\n',
        done.stderr,
    )


@pytest.mark.parametrize("program", ["exporter", "trainer"])
def test_without_their_extras_exporter_and_trainer_say_what_to_install(program: str) -> None:
    for arguments in (["--help"], ["publish" if program == "exporter" else "train", "x"]):
        done = run_as_client(program, *arguments)
        assert "Traceback" not in done.stderr
        if done.returncode:
            assert f"error: the {program} needs " in done.stderr or "Usage:" in done.stderr
            assert done.returncode in {2, 5}


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
