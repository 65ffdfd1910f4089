"""compose.yaml: the gateway's settings, what others can reach, and the secrets."""

from __future__ import annotations

import json
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from sqlalchemy import make_url

from gateway.settings import Settings
from sixpoint.environment import misspelt_variables
from sixpoint.io.triton_key import KEY_NAME, RESTRICTED_PROTOCOLS
from tests.support.paths import ROOT
from tests.support.prometheus import prometheus_program

CONTAINERS = ROOT / "containers"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((CONTAINERS / "compose.yaml").read_text())
    return content


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Secrets as the script makes them."""
    folder = tmp_path_factory.mktemp("compose")
    _make_secrets(folder)
    return folder / "secrets"


def _make_secrets(folder: Path) -> str:
    command = [sys.executable, f"{CONTAINERS / 'make_secrets.py'}", "--folder", f"{folder}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _compose_program() -> list[str]:
    """Docker Compose; skips the test where there is none."""
    for program in (["docker-compose"], ["docker", "compose"]):
        path = shutil.which(program[0], path=f"{Path(sys.executable).parent}") or shutil.which(program[0])
        if path and not subprocess.run([path, *program[1:], "version"], capture_output=True, check=False).returncode:
            return [path, *program[1:]]
    pytest.skip("Docker Compose is not installed")


@pytest.mark.parametrize("more", [[], ["--file", "compose.gpu.yaml"]], ids=["cpu", "gpu"])
def test_docker_compose_understands_it(tmp_path: Path, more: list[str]) -> None:
    program = _compose_program()
    for file in CONTAINERS.glob("*.yaml"):
        shutil.copy(file, tmp_path)
    command = [*program, "--file", "compose.yaml", *more, "config", "--quiet"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    # As it is in a checkout: no secrets yet.
    assert "run python3 containers/make_secrets.py first" in done.stderr
    _make_secrets(tmp_path)
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_gateways_settings_are_settings_and_fit_the_other_services(
    compose: dict[str, Any], secrets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway, services = compose["services"]["gateway"], compose["services"]
    environment: dict[str, str] = gateway["environment"]
    assert misspelt_variables(environment) == []
    assert all(isinstance(value, str) for value in environment.values())
    for name, value in environment.items():
        if value.startswith("/run/secrets/"):
            assert Path(value).name in gateway["secrets"]
        monkeypatch.setenv(name, value.replace("/run/secrets", str(secrets)))
    settings = Settings()
    assert settings.auth_methods == {"tokens"}
    assert settings.triton_url.partition(":")[0] in services
    assert settings.triton_key.get_secret_value() == (secrets / "triton-key").read_text().strip()
    database = make_url(settings.database_url.get_secret_value())
    assert database.host in services
    postgres = services["postgres"]["environment"]
    assert (database.username, database.database) == (postgres["POSTGRES_USER"], postgres["POSTGRES_DB"])
    assert database.password == (secrets / "postgres-password").read_text().strip()
    endpoint = urlsplit(environment["AWS_ENDPOINT"])
    assert endpoint.hostname in services
    (identity,) = json.loads((secrets / "s3.json").read_text())["identities"]
    assert identity["credentials"] == [
        {
            "accessKey": (secrets / "s3-key-id").read_text().strip(),
            "secretKey": (secrets / "s3-key").read_text().strip(),
        }
    ]


def test_no_secret_is_a_variable(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for name, value in service.get("environment", {}).items():
            if re.search("PASSWORD|SECRET|KEY|TOKEN(?!S)|DATABASE_URL", name):
                assert name.endswith("_FILE")
                assert value.startswith("/run/secrets/")


def test_ports_are_published_on_loopback_only(compose: dict[str, Any]) -> None:
    services = compose["services"]
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert len(published) == 3
    assert all(port.startswith("127.0.0.1:") for port in published)
    modes = {name: service["network_mode"] for name, service in services.items() if "network_mode" in service}
    assert modes == {"models": "none", "bucket": "service:s3"}
    behind = {name for name, service in services.items() if service.get("networks") == ["back"]}
    assert behind == {"triton", "postgres", "s3"}
    assert compose["networks"]["back"]["internal"]


def test_every_service_is_hardened_and_every_image_pinned(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        image = service["image"]
        # Our own; and one whose digest nobody here could look up.
        if not image.startswith(("localhost/", "nvcr.io/nvidia/tritonserver:24.10-py3")):
            assert re.fullmatch(r"docker\.io/[a-z/]+:[\w.-]+@sha256:[0-9a-f]{64}", image), name


def test_triton_restricts_what_only_the_gateway_may_do(compose: dict[str, Any]) -> None:
    (command,) = (part for part in compose["services"]["triton"]["command"] if "tritonserver" in part)
    assert f'"--grpc-restricted-protocol={RESTRICTED_PROTOCOLS}:{KEY_NAME}=$$(cat /run/secrets/triton-key)"' in command


def test_the_gateway_may_drain(compose: dict[str, Any]) -> None:
    settings = Settings()
    patience = compose["services"]["gateway"]["stop_grace_period"]
    assert int(patience.removesuffix("s")) > settings.drain_notice_seconds + settings.drain_seconds


def test_every_secret_is_made_and_private(compose: dict[str, Any], secrets: Path) -> None:
    assert {path.name for path in secrets.iterdir()} == set(compose["secrets"])
    assert {entry["file"] for entry in compose["secrets"].values()} == {
        f"secrets/{name}" for name in compose["secrets"]
    }
    for path in (secrets.parent / ".env", *secrets.iterdir()):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    # Never root.
    assert re.fullmatch(r"SIXPOINT_USER=[1-9]\d*\n", (secrets.parent / ".env").read_text())


def test_secrets_that_are_there_stay_and_lost_ones_fit_them(tmp_path: Path) -> None:
    _make_secrets(tmp_path)
    made = {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}
    for name in ("database-url", "s3.json"):
        (tmp_path / "secrets" / name).unlink()
    assert _make_secrets(tmp_path) == f"wrote secrets/database-url, secrets/s3.json in {tmp_path}\n"
    assert {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()} == made
    assert _make_secrets(tmp_path) == f"all secrets are in {tmp_path} already\n"


def test_two_machines_get_other_secrets(tmp_path: Path, secrets: Path) -> None:
    _make_secrets(tmp_path)
    for path in secrets.iterdir():
        assert (tmp_path / "secrets" / path.name).read_text() != path.read_text()


def test_prometheus_understands_its_files_and_scrapes_the_services(compose: dict[str, Any], tmp_path: Path) -> None:
    mounts = [mount.split(":") for mount in compose["services"]["prometheus"]["volumes"]]
    for source, target, *_ in mounts:
        if source.startswith("."):
            shutil.copy(CONTAINERS / source, tmp_path / Path(target).name)
    file = tmp_path / "prometheus.yaml"
    targets = {
        job["job_name"]: target
        for job in yaml.safe_load(file.read_text())["scrape_configs"]
        for static in job["static_configs"]
        for target in static["targets"]
    }
    assert targets == {"sixpoint": "gateway:8080", "triton": "triton:8002"}
    assert {target.partition(":")[0] for target in targets.values()} <= set(compose["services"])
    promtool = prometheus_program("promtool")
    done = subprocess.run([promtool, "check", "config", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    # A test of the chart holds that the alerts are those of the code.
    assert re.search(r"SUCCESS: [1-9]\d* rules found", done.stdout)
