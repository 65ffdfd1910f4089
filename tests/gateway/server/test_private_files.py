"""What the gateway and Triton write is private to their user: images of patients are in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import sixpoint
from gateway.triton.local.server import LocalTriton
from tests.support.images import noisy_volume
from tests.support.ports import free_port
from tests.support.servers import running_gateway


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    """A umask that protects nothing."""
    before = os.umask(0)
    yield
    os.umask(before)


def upload(state: Path) -> None:
    """Run a gateway, and upload an image."""
    settings: dict[str, Any] = {"triton_url": f"127.0.0.1:{free_port()}", "state_folder": state}
    with running_gateway(ready=False, **settings) as gateway, sixpoint.Client(f"127.0.0.1:{gateway.port}") as client:
        client.upload(noisy_volume())


def open_to_others(folder: Path) -> list[str]:
    """Folder and all that is in it, as far as others may use it."""
    return [
        f"{path.relative_to(folder)}: {path.stat().st_mode:o}"
        for path in (folder, *folder.rglob("*"))
        if path.stat().st_mode & 0o077
    ]


def test_a_new_state_is_private(tmp_path: Path) -> None:
    state = tmp_path / "new" / "state"
    upload(state)
    assert {"sixpoint.db", "blobs", "cache"} <= {path.name for path in state.iterdir()}
    assert open_to_others(state.parent) == []
    assert tmp_path.stat().st_mode & 0o777 == 0o700, "pytest's own"


def test_the_state_of_an_older_gateway_becomes_private(tmp_path: Path) -> None:
    state = tmp_path / "state"
    upload(state)
    for path in (state, *state.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    upload(state)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (state, *state.iterdir())}
    assert modes["state"] == 0o700
    assert {modes[name] for name in modes if name.startswith("sixpoint.db")} == {0o600}


def test_a_folder_that_is_shared_on_purpose_stays_shared(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    state.chmod(0o2770)
    upload(state)
    database = state / "sixpoint.db"
    database.chmod(0o664)
    upload(state)
    assert state.stat().st_mode & 0o7777 == 0o2770
    assert database.stat().st_mode & 0o777 == 0o660


@pytest.mark.triton
def test_the_shared_memory_of_triton_is_private(triton: LocalTriton) -> None:
    assert triton.running
    files = list(Path("/dev/shm").glob(f"{triton.shared_memory_prefix}*"))
    assert files
    assert {path.name: oct(path.stat().st_mode) for path in files if path.stat().st_mode & 0o077} == {}
