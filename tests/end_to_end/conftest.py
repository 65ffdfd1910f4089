"""A gateway in a process of its own, in front of the real Triton with the shipped models, and a phantom."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from gateway.triton.local.server import LocalTriton
from tests.end_to_end.command_line import run
from tests.support.ports import free_port


@pytest.fixture(scope="session")
def server(triton: LocalTriton, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the gateway, host:port."""
    port = free_port()
    environment = os.environ | {
        "SIXPOINT_PORT": str(port),
        "SIXPOINT_TRITON_URL": triton.address,
        "SIXPOINT_STATE_FOLDER": str(tmp_path_factory.mktemp("state")),
    }
    process = subprocess.Popen([sys.executable, "-m", "gateway", "serve"], env=environment)
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            grpc.channel_ready_future(channel).result(60)
            _wait_until_serving(channel)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        assert process.wait(30) == 0


@pytest.fixture(scope="session")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the files of ``sixpoint phantom``."""
    folder = tmp_path_factory.mktemp("phantom")
    assert run("sixpoint", "phantom", folder).returncode == 0
    return folder


def _wait_until_serving(channel: grpc.Channel) -> None:
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    for response in health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=60):
        if response.status == health_pb2.HealthCheckResponse.SERVING:
            return
