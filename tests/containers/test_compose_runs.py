"""compose.yaml, run: the gateway's image as it is written there, and the other services with their real programs."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.containers.built_image import IMAGE, Built
from tests.containers.compose_services import (
    HOSTS,
    joined_networks,
    running_postgres,
    running_store,
    running_triton,
    wait_for,
)
from tests.containers.engine import Engine
from tests.support.paths import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

_CONTAINERS = ROOT / "containers"


@pytest.fixture
def services() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((_CONTAINERS / "compose.yaml").read_text())["services"]
    return content


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    subprocess.run([sys.executable, _CONTAINERS / "make_secrets.py", "--folder", tmp_path], check=True)
    return tmp_path / "secrets"


def _options(service: dict[str, Any], secrets: Path) -> list[str]:
    """Podman's options for what a service says."""
    user = (secrets.parent / ".env").read_text().strip().partition("=")[2]
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    options = ["--read-only", "--read-only-tmpfs=false", "--cap-drop=all", "--user", f"{user}:0"]
    options += [f"--security-opt={option.partition(':')[0]}" for option in service["security_opt"]]
    options += [f"--tmpfs={mount}" for mount in service["tmpfs"]]
    options += [f"--volume={volume}" for volume in service["volumes"]]
    options += [f"--volume={secrets / name}:/run/secrets/{name}:ro" for name in service.get("secrets", [])]
    return options + [f"--env={name}={value}" for name, value in service.get("environment", {}).items()]


@contextlib.contextmanager
def _running_gateway(engine: Engine, options: list[str], network: str) -> Iterator[None]:
    engine.run("--detach", "--name", "composed", *options, IMAGE, network=network)
    try:
        yield
    finally:
        engine.podman("rm", "--force", "--time", "0", "composed")


def test_the_services_serve_prompts_to_who_has_a_token(
    built: Built, services: dict[str, Any], secrets: Path, tmp_path: Path
) -> None:
    engine, gateway = built.engine, services["gateway"]
    models = _options(services["models"], secrets)
    engine.run("--rm", *models, IMAGE, *services["models"]["command"], network=services["models"]["network_mode"])
    volume = Path(engine.podman("volume", "inspect", "models", "--format", "{{.Mountpoint}}").stdout.strip())
    options = _options(gateway, secrets)
    token = engine.run("--rm", *options, IMAGE, "token", "new", "me", network="none").stdout.strip()
    options += [f"--add-host={name}:{address}" for name, address in HOSTS.items()]
    with (
        joined_networks() as (network, store),
        running_store(services, store, tmp_path, secrets=secrets),
        running_postgres(services, network, secrets=secrets),
        running_triton(services, network, tmp_path, models=volume, secrets=secrets),
        _running_gateway(engine, options, f"ns:/run/netns/{network}"),
    ):
        check = gateway["healthcheck"]["test"][1:]
        wait_for(
            lambda: engine.podman("exec", "composed", *check, check=False).returncode == 0,
            what=f"not healthy: {engine.podman('logs', 'composed').stderr}",
        )
        doctor = engine.podman("exec", f"--env=SIXPOINT_TOKEN={token}", "composed", "sixpoint", "doctor")
        assert "outlined the phantom's liver" in doctor.stdout
        nobody = engine.podman("exec", "composed", "sixpoint", "models", check=False)
        assert nobody.returncode != 0
        assert "asks who calls" in nobody.stderr
        # SIGTERM, and SIGKILL after the grace period.
        engine.podman("stop", "--time", gateway["stop_grace_period"].removesuffix("s"), "composed")
        assert engine.inspect("composed")["State"]["ExitCode"] == 0
