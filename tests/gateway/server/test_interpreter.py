"""How a gateway that serves uses Python's interpreter."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.server import Gateway
from gateway.settings import Settings
from tests.support.ports import free_port


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    interval = sys.getswitchinterval()
    yield
    sys.setswitchinterval(interval)
    gc.unfreeze()


async def test_what_lives_at_the_start_is_not_collected_and_threads_take_turns_often(tmp_path: Path) -> None:
    left, intervals = [], []

    def announce(_: str) -> None:
        left.append(len(gc.get_objects()))
        intervals.append(sys.getswitchinterval())
        os.kill(os.getpid(), signal.SIGTERM)

    settings = Settings(state_folder=tmp_path, port=0, drain_notice_seconds=0.0, triton_url=f"127.0.0.1:{free_port()}")
    await Gateway(settings).serve(announce=announce)
    assert left[0] < 1000
    assert intervals[0] < 0.001
