"""Start a gateway with Triton for a measurement, and stop both after it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from gateway.triton.local.server import LocalTriton
from sixpoint.client import Client
from sixpoint.errors import SixpointError, Unavailable

__all__ = ["TRITON_ENVIRONMENT", "Servers", "free_ports", "running", "started_tritons"]

_ROOT = Path(__file__).parents[2]
TRITON_ENVIRONMENT = _ROOT / ".triton"
"""Default folder of Triton's environment."""
_READY_SECONDS, _STOP_SECONDS = 120.0, 60.0
_SERVE = ("-c", "from gateway.cli import main; main()")


@dataclass(frozen=True)
class Servers:
    """Addresses of the running servers.

    Attributes:
        gateway: Address of the gateway, host:port.
        triton: Address of Triton, host:port.
        folder: Working directory of the gateway, which holds its state.
    """

    gateway: str
    triton: str
    folder: Path


@contextlib.contextmanager
def running(
    *,
    model: str = "annotation",
    further_models: Sequence[str] = (),
    environment: Path = TRITON_ENVIRONMENT,
    triton_url: str = "",
    arguments: Sequence[str] = _SERVE,
    settings: Mapping[str, object] = MappingProxyType({}),
    connect: Callable[[str], Client] = Client,
) -> Iterator[Servers]:
    """Run ``gateway serve --local-triton`` in another process, on free ports, with one of the shipped models.

    Its state is in a temporary folder.

    Args:
        model: Model to serve; others would only take memory.
        further_models: Other models that are needed, too.
        environment: Folder of Triton's environment.
        triton_url: Address of a Triton that runs already and serves the model; empty: start one.
        arguments: Arguments of Python that run the gateway's command line.
        settings: More settings of the gateway, as environment variables.
        connect: Function that makes a client for the gateway's address.

    Raises:
        Unavailable: The gateway ends while starting, or does not serve the model in time.
    """
    with tempfile.TemporaryDirectory(prefix="sixpoint-") as folder, contextlib.ExitStack() as stack:
        for name in (model, *further_models):
            shutil.copytree(_ROOT / "model_repository" / name, Path(folder) / "models" / name)
        port, triton, metrics = free_ports(3)
        all_settings = {
            "SIXPOINT_PORT": port,
            "SIXPOINT_TRITON_GRPC_PORT": triton,
            "SIXPOINT_TRITON_METRICS_PORT": metrics,
            "SIXPOINT_TRITON_ENVIRONMENT": environment.absolute(),
            "SIXPOINT_TRITON_MODEL_REPOSITORY": Path(folder) / "models",
            "SIXPOINT_DRAIN_NOTICE_SECONDS": 0,
        }
        if triton_url:
            all_settings["SIXPOINT_TRITON_URL"] = triton_url
        # Settings of the caller's environment must not change the measurement.
        variables = {key: value for key, value in os.environ.items() if not key.startswith("SIXPOINT_")}
        variables |= {key: str(value) for key, value in (all_settings | dict(settings)).items()}
        variables["PYTHONPATH"] = os.pathsep.join([str(_ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        log = stack.enter_context((Path(folder) / "gateway.log").open("w+b"))
        # Started in the folder, since relative paths of settings are relative to the working directory.
        gateway = subprocess.Popen(
            [sys.executable, *arguments, "serve", *([] if triton_url else ["--local-triton"])],
            cwd=folder,
            env=variables,
            stdout=log,
            stderr=log,
        )
        stack.callback(_stop, gateway)
        addresses = Servers(f"127.0.0.1:{port}", triton_url or f"127.0.0.1:{triton}", Path(folder))
        with connect(addresses.gateway) as client:
            _wait_until_ready(gateway, client, model, log=Path(folder) / "gateway.log")
        yield addresses


@contextlib.contextmanager
def started_tritons(tritons: Sequence[LocalTriton]) -> Iterator[None]:
    """Start Tritons at once, and stop them at the end, also if one of them does not start."""

    async def start() -> None:
        await asyncio.gather(*(triton.start() for triton in tritons))

    async def stop() -> None:
        await asyncio.gather(*(triton.stop() for triton in tritons))

    try:
        asyncio.run(start())
        yield
    finally:
        asyncio.run(stop())


def free_ports(count: int) -> list[int]:
    """Return different ports of this machine that nothing listens on."""
    with contextlib.ExitStack() as stack:
        # All sockets stay open until all ports are chosen: the system could hand out a closed one again.
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def _wait_until_ready(gateway: subprocess.Popen[bytes], client: Client, model: str, *, log: Path) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while True:
        if gateway.poll() is not None:
            raise Unavailable(f"the gateway ended while starting: {log.read_text(errors='replace')[-2000:]}")
        if time.monotonic() > deadline:
            raise Unavailable(f"the gateway did not serve {model} within {_READY_SECONDS:g} s")
        with contextlib.suppress(SixpointError):
            if any(info.name == model for info in client.models()):
                return
        time.sleep(0.2)


def _stop(gateway: subprocess.Popen[bytes]) -> None:
    gateway.send_signal(signal.SIGTERM)
    try:
        gateway.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        # Triton's guard stops Triton when the gateway is gone.
        gateway.kill()
        gateway.wait()
