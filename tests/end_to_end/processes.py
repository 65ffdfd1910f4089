"""Wait for what other processes do."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable
from pathlib import Path


def is_running(*arguments: object) -> bool:
    """Whether a process was started with these arguments."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if {str(each).encode() for each in arguments} <= set(path.read_bytes().split(b"\0")):
                return True
    return False


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes], deadline: float) -> None:
    while not condition():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)


def wait_until_gone(*arguments: object) -> None:
    """Wait until no process that was started with these arguments runs."""
    deadline = time.monotonic() + 60
    while is_running(*arguments):
        assert time.monotonic() < deadline
        time.sleep(0.05)
