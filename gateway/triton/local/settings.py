"""Settings of a Triton on this machine, and checks that it can run with them."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path

from gateway.triton.local.install import DEFAULT_ENVIRONMENT
from sixpoint.errors import FailedPrecondition, Unavailable

__all__ = ["LocalTritonSettings"]

_SHARED_MEMORY = Path("/dev/shm")
# Triton passes tensors to and from a model in shared memory; a batch of eight of the default model takes 27 MiB.
_SHARED_MEMORY_BYTES = 64 * 2**20


@dataclass(frozen=True, kw_only=True)
class LocalTritonSettings:
    """Settings of a Triton on this machine.

    Attributes:
        model_repository: Folder with the models to serve.
        environment: Virtual environment in which Triton is installed.
        host: Address to listen on.
        grpc_port: Port of the inference service.
        metrics_port: Port of the Prometheus metrics.
        log: File that Triton's log is appended to; None to use it only to explain failures.
        ready_timeout: Seconds that Triton may take to load the models.
        stop_timeout: Seconds that Triton may take to finish running requests before it is killed.
        traces_url: Collector to which Triton sends its part of traces, OTLP over HTTP; empty for none.
    """

    model_repository: Path = Path("model_repository")
    environment: Path = DEFAULT_ENVIRONMENT
    host: str = "127.0.0.1"
    grpc_port: int = 8001
    metrics_port: int = 8002
    log: Path | None = None
    ready_timeout: float = 120.0
    stop_timeout: float = 10.0
    traces_url: str = ""

    def ports(self) -> dict[str, int]:
        """Return the ports to listen on, by field name."""
        return {"grpc_port": self.grpc_port, "metrics_port": self.metrics_port}

    def trace_arguments(self) -> list[str]:
        """Return the arguments that make Triton send spans of the calls that are traced, and of no others (rate 0)."""
        options = (
            "mode=opentelemetry",
            "rate=0",
            "level=TIMESTAMPS",
            f"opentelemetry,url={self.traces_url}",
            "opentelemetry,resource=service.name=triton",
            "opentelemetry,bsp_schedule_delay=1000",
        )
        return [f"--trace-config={option}" for option in options] if self.traces_url else []

    def check(self) -> None:
        """Check for problems that Triton itself reports with unclear errors.

        Raises:
            FailedPrecondition: When the model repository does not exist.
            Unavailable: When a port is taken, or there is too little shared memory.
        """
        if not self.model_repository.is_dir():
            raise FailedPrecondition(
                f"there is no model repository at {self.model_repository}: set {_variable('model_repository')}"
            )
        for field, port in self.ports().items():
            self._check_port(field, port)
        status = os.statvfs(_SHARED_MEMORY)
        free = status.f_bavail * status.f_frsize
        if free < _SHARED_MEMORY_BYTES:
            raise Unavailable(
                f"{_SHARED_MEMORY} has {free >> 20} MiB left and Triton needs {_SHARED_MEMORY_BYTES >> 20}: "
                "make room there, or start this container with --shm-size=1g"
            )

    def _check_port(self, field: str, port: int) -> None:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            # Triton sets this as well: a port whose last connections are still closing counts as free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((self.host, port))
            except (OSError, OverflowError) as error:
                reason = error.strerror if isinstance(error, OSError) else "not a valid port"
                raise Unavailable(
                    f"Triton cannot listen on {self.host}:{port} ({reason}): "
                    f"set {_variable(field)} to a free port (setting {field})"
                ) from error


def _variable(field: str) -> str:
    """Return the gateway's environment variable for a field."""
    return f"SIXPOINT_TRITON_{field.upper()}"
