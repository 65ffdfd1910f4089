"""A gateway and the Triton behind it, started for a measurement and stopped after it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sixpoint.client import Client
from sixpoint.errors import SixpointError, Unavailable

__all__ = ["TRITON_ENVIRONMENT", "Servers", "running"]

_ROOT = Path(__file__).parents[2]
TRITON_ENVIRONMENT = _ROOT / ".triton"
"""Where Triton is, unless somebody says otherwise."""
_READY_SECONDS, _STOP_SECONDS = 120.0, 60.0
_SERVE = "from gateway.cli import main; main()"


@dataclass(frozen=True)
class Servers:
    """Where they listen, host:port.

    Attributes:
        gateway: The gateway.
        triton: Triton.
    """

    gateway: str
    triton: str


@contextlib.contextmanager
def running(*, model: str = "annotation", environment: Path = TRITON_ENVIRONMENT) -> Iterator[Servers]:
    """``gateway serve --local-triton`` in a process of its own, on free ports, with one of the shipped models.

    Whatever it keeps, it keeps in a folder that is removed in the end.

    Args:
        model: The one; others would only take memory.
        environment: Where Triton is installed.

    Raises:
        Unavailable: When it ends while starting, or takes too long.
    """
    with tempfile.TemporaryDirectory(prefix="sixpoint-") as folder, contextlib.ExitStack() as stack:
        shutil.copytree(_ROOT / "model_repository" / model, Path(folder) / "models" / model)
        port, triton, metrics = _free_ports(3)
        settings = {
            "SIXPOINT_PORT": port,
            "SIXPOINT_TRITON_GRPC_PORT": triton,
            "SIXPOINT_TRITON_METRICS_PORT": metrics,
            "SIXPOINT_TRITON_ENVIRONMENT": environment.absolute(),
            "SIXPOINT_TRITON_MODEL_REPOSITORY": Path(folder) / "models",
            "SIXPOINT_DRAIN_NOTICE_SECONDS": 0,
        }
        # Settings of whoever runs this must not change what is measured.
        variables = {key: value for key, value in os.environ.items() if not key.startswith("SIXPOINT_")}
        variables |= {key: str(value) for key, value in settings.items()}
        variables["PYTHONPATH"] = os.pathsep.join([str(_ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        log = stack.enter_context((Path(folder) / "gateway.log").open("w+b"))
        # In the folder, since paths of its settings are relative to where it starts.
        gateway = subprocess.Popen(
            [sys.executable, "-c", _SERVE, "serve", "--local-triton"],
            cwd=folder,
            env=variables,
            stdout=log,
            stderr=log,
        )
        stack.callback(_stop, gateway)
        found = Servers(f"127.0.0.1:{port}", f"127.0.0.1:{triton}")
        _wait_until_ready(gateway, found.gateway, model, log=Path(folder) / "gateway.log")
        yield found


def _wait_until_ready(gateway: subprocess.Popen[bytes], address: str, model: str, *, log: Path) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    with Client(address) as client:
        while True:
            if gateway.poll() is not None:
                raise Unavailable(f"the gateway ended while starting: {log.read_text(errors='replace')[-2000:]}")
            if time.monotonic() > deadline:
                raise Unavailable(f"the gateway did not serve {model} within {_READY_SECONDS:g} s")
            with contextlib.suppress(SixpointError):
                if any(one.name == model for one in client.models()):
                    return
            time.sleep(0.2)


def _stop(gateway: subprocess.Popen[bytes]) -> None:
    gateway.send_signal(signal.SIGTERM)
    try:
        gateway.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        # Triton's guard ends Triton when the gateway is gone.
        gateway.kill()
        gateway.wait()


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        # All are held until all are known: one given back might be given out again.
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
