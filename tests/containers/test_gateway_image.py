"""The gateway's image, built on a small Debian: what is in it, and that it serves with no rights."""

from __future__ import annotations

import importlib.util
import secrets
import stat
import threading
import time
import urllib.request
from pathlib import Path

import pytest

import sixpoint
from gateway.triton.local.server import LocalTriton
from sixpoint.metrics import dice
from sixpoint.phantom import make_phantom
from tests.containers.built_image import IMAGE, Built
from tests.containers.engine import HARDENED, Engine
from tests.gateway.prompts import SIX
from tests.support.images import noisy_volume
from tests.support.paths import ROOT
from tests.support.ports import free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

MAX_MB = 350
_PATIENCE_S = 60.0
# Python's own byte code says so in its second word: checked by nobody, made from a source with this hash.
_UNCHECKED_HASH = 1
_BUILD_TOOLS = {"ar", "as", "c++", "cc", "cpp", "g++", "gcc", "clang", "ld", "make", "git", "curl", "wget"}


def test_it_is_small(built: Built) -> None:
    assert built.engine.inspect(IMAGE)["Size"] < MAX_MB * 1e6


def test_its_labels_user_and_health_check(built: Built) -> None:
    image = built.engine.inspect(IMAGE)
    config = image["Config"]
    labels = {name.removeprefix("org.opencontainers.image."): value for name, value in config["Labels"].items()}
    assert (
        labels.items()
        >= {
            "title": "sixpoint gateway",
            "licenses": "Apache-2.0",
            "version": sixpoint.__version__,
            "revision": "abc123",
            "base.name": built.base,
        }.items()
    )
    assert config["User"] == "65532:0"
    assert (config["Entrypoint"], config["Cmd"]) == (["gateway"], ["serve"])
    assert "/livez" in image["Healthcheck"]["Test"][-1]


def test_it_has_no_tools_to_build_and_no_more_setuid_files_than_its_base(built: Built) -> None:
    files = built.files
    names = {
        Path(name).name for name, status in files.items() if stat.S_ISREG(status.st_mode) and status.st_mode & 0o111
    }
    assert not names & _BUILD_TOOLS
    special = {name for name, status in files.items() if status.st_mode & (stat.S_ISUID | stat.S_ISGID)}
    assert special <= built.base_files.keys()


def test_only_root_may_write_to_it_and_everybody_reads_it(built: Built) -> None:
    own = {name: status for name, status in built.files.items() if name not in built.base_files}
    assert any(name.endswith("config.pbtxt") for name in own)
    volumes = {"var/lib/sixpoint", "models"}
    for name, status in own.items():
        assert status.st_uid == status.st_gid == 0
        mode = stat.S_IMODE(status.st_mode)
        assert mode == 0o770 if name in volumes else not mode & 0o022, name
        assert name in volumes or mode & 0o044 == 0o044, name


def test_its_byte_code_is_that_of_its_sources(built: Built) -> None:
    compiled = [built.root / name for name in built.files if name.startswith("opt/") and name.endswith(".pyc")]
    assert len(compiled) > 500
    for path in compiled:
        content = path.read_bytes()
        source = Path(importlib.util.source_from_cache(str(path)))
        assert int.from_bytes(content[4:8], "little") == _UNCHECKED_HASH
        assert content[8:16] == importlib.util.source_hash(source.read_bytes())


def test_its_packages_are_complete_and_no_client_needs_are_among_them(built: Built) -> None:
    options = ["--rm", *HARDENED, "--volume", f"{built.context}/out/wheels/gateway:/wheels:ro", "--entrypoint", "sh"]
    script = "PYTHONPATH=$(echo /wheels/pip-*.whl) && export PYTHONPATH && python3 -m pip check && python3 -m pip list"
    done = built.engine.run(*options, IMAGE, "-c", script)
    assert done.stdout.startswith("No broken requirements found.")
    assert {"sqlalchemy", "opentelemetry-sdk"} <= set(done.stdout.lower().split())
    assert "simpleitk" not in done.stdout.lower()


def test_a_build_is_given_no_more_than_it_copies(built: Built, tmp_path: Path) -> None:
    containerfile = tmp_path / "all.Containerfile"
    containerfile.write_text(f"FROM {built.base}\nCOPY . /given\n")
    built.engine.build(containerfile, built.context, tag="localhost/given")
    given = Path(built.engine.podman("image", "mount", "localhost/given").stdout.strip()) / "given"
    names = {str(path.relative_to(given)) for path in given.rglob("*") if path.is_file()}
    assert {"LICENSE", "containers/compile_imports.py", "model_repository/annotation/config.pbtxt"} <= names
    beginnings = ("LICENSE", "containers/compile_imports.py", "model_repository/", "out/wheels/gateway/")
    assert [name for name in names if not name.startswith(beginnings)] == []


def test_it_copies_the_shipped_models_to_a_volume_for_another_user(built: Built, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    options = ["--rm", *HARDENED, "--user", f"{_user()}:{_user()}", "--volume", f"{tmp_path}:/models"]
    done = built.engine.run(*options, IMAGE, "models", "copy", "/models")
    assert done.stdout.startswith("/models has annotation ")
    for path in (path for path in (ROOT / "model_repository").rglob("*") if path.is_file()):
        copy = tmp_path / path.relative_to(ROOT / "model_repository")
        assert copy.read_bytes() == path.read_bytes()
        assert copy.stat().st_mode & 0o044 == 0o044


def test_it_lets_nobody_in_unless_it_is_told_who(built: Built) -> None:
    done = built.engine.run("--rm", *HARDENED, IMAGE, check=False)
    assert done.returncode == 1
    assert "SIXPOINT_HOST=0.0.0.0 lets other machines in" in done.stderr


def test_it_serves_prompts_as_any_user_with_no_rights_and_drains(
    built: Built, triton: LocalTriton, tmp_path: Path
) -> None:
    port, status_port = free_port(), free_port()
    (tmp_path / "triton-key").write_text(triton.key)
    options = [*HARDENED, "--user", f"{_user()}:0", "--volume", "prompted:/var/lib/sixpoint"]
    token = built.engine.run("--rm", *options, IMAGE, "token", "new", "alice").stdout.strip()
    options += ["--detach", "--name", "gateway", "--volume", f"{tmp_path}/triton-key:/run/secrets/triton-key:ro"]
    settings = {
        "AUTH": "tokens",
        "HOST": "127.0.0.1",
        "PORT": port,
        "STATUS_PORT": status_port,
        "TRITON_URL": triton.address,
        "TRITON_KEY_FILE": "/run/secrets/triton-key",
    }
    built.engine.run(*options, *_environment(settings), IMAGE)
    _wait_until_ready(built.engine, status_port)
    phantom = make_phantom()
    truth = phantom.mask("liver")
    with sixpoint.Client(f"127.0.0.1:{port}", token=token) as client:
        with client.open_session(phantom.image, model="annotation") as session:
            mask = session.annotate(sixpoint.ExtremePoints.of_mask(truth))
        assert dice(mask.array, truth) > 0.9
        # The image has a client that prompts: a chart's test runs it.
        doctor = ["exec", "--env", f"SIXPOINT_TOKEN={token}", "gateway", "sixpoint", "doctor", f"127.0.0.1:{port}"]
        assert "outlined the phantom's liver" in built.engine.podman(*doctor).stdout
        assert built.engine.podman("healthcheck", "run", "gateway", check=False).returncode == 0
        assert built.engine.podman("exec", "gateway", "touch", "/opt/sixpoint/x", check=False).returncode != 0
        with client.open_session(noisy_volume(), model="slow") as session:
            answers: list[sixpoint.Mask] = []
            prompt = threading.Thread(target=lambda: answers.append(session.annotate(SIX)))
            prompt.start()
            time.sleep(0.7)
            # SIGTERM, and SIGKILL if that does not end it.
            built.engine.podman("stop", "--time", "30", "gateway")
            prompt.join(_PATIENCE_S)
    assert answers[0].array.any()
    assert built.engine.inspect("gateway")["State"]["ExitCode"] == 0
    assert '"message": "gateway stopped"' in built.engine.podman("logs", "gateway").stderr


def _environment(settings: dict[str, object]) -> list[str]:
    return [part for name, value in settings.items() for part in ("--env", f"SIXPOINT_{name}={value}")]


def _user() -> int:
    """A user that nothing knows."""
    return 10_000 + secrets.randbelow(1_000_000_000)


def _wait_until_ready(engine: Engine, port: int) -> None:
    end = time.monotonic() + _PATIENCE_S
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(engine.podman("logs", "gateway", check=False).stderr)
