"""A gateway in a process of its own, which tests may kill."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from benchmarks.servers.watched_gateway import STALLS_VARIABLE
from tests.support.ports import free_port

_PATIENCE_S = 60.0


@dataclass
class GatewayProcess:
    """One gateway process after the other, on one port and one state.

    Attributes:
        triton_url: Triton's address.
        state: Folder of its state; another process may share it.
        settings: More of its settings.
        prefix: Command that starts it with changed limits.
        port: Where it listens.
        stalls: File to which the stalls of its event loop are written; None: its loop is not watched.
    """

    triton_url: str
    state: Path
    settings: dict[str, object] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()
    port: int = field(default_factory=free_port)
    stalls: Path | None = None
    _process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """host:port."""
        return f"127.0.0.1:{self.port}"

    @property
    def running(self) -> subprocess.Popen[bytes]:
        """The process."""
        assert self._process is not None
        return self._process

    @property
    def memory(self) -> int:
        """Bytes resident now, without what is mapped from files."""
        lines = Path(f"/proc/{self.running.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:"))

    def start(self, *, wait: bool = True) -> None:
        """Start it; ``wait`` until it serves."""
        values: dict[str, object] = {
            "port": self.port,
            "triton_url": self.triton_url,
            "triton_poll_seconds": 0.1,
            "drain_notice_seconds": 0.0,
            "log_level": "WARNING",
            "state_folder": self.state,
        }
        named = {f"SIXPOINT_{key.upper()}": str(value) for key, value in (values | self.settings).items()}
        module = "gateway"
        if self.stalls is not None:
            module = "benchmarks.servers.watched_gateway"
            self.stalls.touch()
            named[STALLS_VARIABLE] = str(self.stalls)
        self._process = subprocess.Popen([*self.prefix, sys.executable, "-m", module, "serve"], env=os.environ | named)
        if wait:
            self.wait()

    def wait(self) -> None:
        """Wait until it serves."""
        end = time.monotonic() + _PATIENCE_S
        while time.monotonic() < end and self.running.poll() is None:
            with contextlib.suppress(grpc.RpcError), grpc.insecure_channel(self.address) as channel:
                response = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=2)
                if response.status == health_pb2.HealthCheckResponse.SERVING:
                    return
            time.sleep(0.05)
        raise AssertionError("the gateway does not serve")

    def kill(self) -> None:
        """kill -9."""
        self.running.send_signal(signal.SIGKILL)
        self.running.wait()

    def stop(self) -> None:
        """End it as a service is ended."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            assert self._process.wait(_PATIENCE_S) == 0


@contextlib.contextmanager
def gateway_process(
    triton_url: str, state: Path, *, stalls: Path | None = None, **settings: object
) -> Iterator[GatewayProcess]:
    """A gateway process, started."""
    process = GatewayProcess(triton_url, state, dict(settings), stalls=stalls)
    try:
        process.start()
        yield process
    finally:
        # Also one that did not serve in time.
        if process.running.poll() is None:
            process.running.kill()
            process.running.wait()
