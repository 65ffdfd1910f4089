"""Start other processes, and wait for what they do."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import sixpoint
from sixpoint import errors
from tests.support.paths import ROOT
from tests.support.ports import free_port


@contextlib.contextmanager
def serving(**variables: object) -> Iterator[sixpoint.Client]:
    """A gateway in a process of its own, with its worker, and a client of it; it serves models.

    Args:
        **variables: Its settings, without "SIXPOINT_".
    """
    address = f"127.0.0.1:{free_port()}"
    settings = {f"SIXPOINT_{name}": str(value) for name, value in variables.items()}
    environment = os.environ | settings | {"SIXPOINT_PORT": address.split(":")[1]}
    gateway = subprocess.Popen([sys.executable, "-m", "gateway", "serve"], env=environment, cwd=ROOT)

    def has_models() -> bool:
        with contextlib.suppress(errors.Unavailable):
            return bool(client.models())
        return False

    try:
        with sixpoint.Client(address) as client:
            wait_for(has_models, gateway, time.monotonic() + 120)
            yield client
    finally:
        gateway.terminate()
        assert gateway.wait(60) == 0


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
