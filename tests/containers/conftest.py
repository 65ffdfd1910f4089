"""The gateway's image, built once."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import sixpoint
from tests.containers.built_image import IMAGE, Built
from tests.containers.engine import Engine, debian_base, python_of_debian, require_programs
from tests.support.paths import ROOT


@pytest.fixture(scope="session")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a checkout has for the build, with wheels for the base's Python; and files that a build must not get."""
    require_programs()
    context = tmp_path_factory.mktemp("context")
    wheels = context / "out" / "wheels" / "gateway"
    subprocess.run(
        [python_of_debian(), ROOT / "containers" / "wheels.py", "gateway", "--output", wheels],
        check=True,
        capture_output=True,
    )
    for name in (".containerignore", "LICENSE"):
        shutil.copy(ROOT / name, context)
    for name in ("containers", "model_repository"):
        shutil.copytree(ROOT / name, context / name)
    for name in (".git/config", "state/sixpoint.db", "containers/secrets/triton-key"):
        (context / name).parent.mkdir(exist_ok=True)
        (context / name).write_text("secret")
    # As in a checkout of a careful person.
    for path in (context / "model_repository").rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
    return context


@pytest.fixture(scope="session")
def built(context: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    """The image."""
    engine = Engine(tmp_path_factory.mktemp("oci"))
    base = engine.load_base(debian_base())
    containerfile = context / "containers" / "gateway.Containerfile"
    engine.build(containerfile, context, tag=IMAGE, BASE=base, VERSION=sixpoint.__version__, REVISION="abc123")
    root, base_root = (Path(engine.podman("image", "mount", name).stdout.strip()) for name in (IMAGE, base))
    try:
        yield Built(engine, context, base, root, base_root)
    finally:
        engine.podman("rm", "--all", "--force", "--time", "0", "--volumes")
        engine.podman("image", "unmount", "--all", "--force")
        shutil.rmtree(engine.folder)
