"""A gateway that serves does not look for garbage among what lives as long as it does."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.server import Gateway
from gateway.settings import Settings
from tests.support.ports import free_port


@pytest.fixture(autouse=True)
def unfrozen() -> Iterator[None]:
    yield
    gc.unfreeze()


async def test_what_lives_when_the_gateway_starts_is_not_collected(tmp_path: Path) -> None:
    left = []

    def announce(_: str) -> None:
        left.append(len(gc.get_objects()))
        os.kill(os.getpid(), signal.SIGTERM)

    settings = Settings(state_folder=tmp_path, port=0, drain_notice_seconds=0.0, triton_url=f"127.0.0.1:{free_port()}")
    await Gateway(settings).serve(announce=announce)
    assert left[0] < 1000
