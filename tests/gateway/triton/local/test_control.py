"""Whoever reaches the port of the local Triton cannot run code, and Triton knows no secrets of the gateway."""

from __future__ import annotations

import os
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from exporter.publishing.triton import Triton
from gateway.triton.client import TritonClient
from gateway.triton.local.server import LocalTriton, LocalTritonSettings
from sixpoint.errors import FailedPrecondition, TritonUnavailable
from sixpoint.io.triton_key import (
    KEY_NAME,
    KEY_VARIABLE,
    RESTRICTED_PROTOCOLS,
    control_metadata,
    key_path,
    remove_key,
    store_key,
)

CONTROL = {
    "RepositoryModelLoad": service_pb2.RepositoryModelLoadRequest(model_name="ellipsoid"),
    "RepositoryModelUnload": service_pb2.RepositoryModelUnloadRequest(model_name="ellipsoid"),
    "RepositoryIndex": service_pb2.RepositoryIndexRequest(),
    "SystemSharedMemoryStatus": service_pb2.SystemSharedMemoryStatusRequest(),
    "SystemSharedMemoryUnregister": service_pb2.SystemSharedMemoryUnregisterRequest(),
    "TraceSetting": service_pb2.TraceSettingRequest(),
    "LogSettings": service_pb2.LogSettingsRequest(),
}


@pytest.mark.triton
@pytest.mark.parametrize("method", CONTROL)
def test_the_control_api_needs_the_key(triton: LocalTriton, method: str) -> None:
    with grpc.insecure_channel(triton.address) as channel:
        stub: Any = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        for metadata in ((), control_metadata(triton.address, key="guessed")):
            with pytest.raises(grpc.RpcError, match="restricted"):
                getattr(stub, method)(CONTROL[method], timeout=30, metadata=metadata)


@pytest.mark.triton
def test_the_exporter_finds_the_key_of_a_triton_of_its_user(triton: LocalTriton) -> None:
    path = key_path(triton.settings.grpc_port)
    assert path.read_text() == triton.key
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    with Triton(triton.address) as connection:
        assert connection.version_states("no such model") == {}


@pytest.mark.triton
async def test_a_key_that_is_given_is_used(
    triton: LocalTriton, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "wrong")
    with Triton(triton.address) as connection, pytest.raises(FailedPrecondition, match=KEY_VARIABLE):
        connection.version_states("ellipsoid")
    async with TritonClient(triton.address, key="wrong") as client:
        with pytest.raises(TritonUnavailable, match=KEY_VARIABLE):
            await client.versions()
    async with TritonClient(triton.address) as client:
        assert await client.versions()
    monkeypatch.setenv(KEY_VARIABLE, triton.key)
    with Triton(triton.address) as connection:
        assert connection.version_states("no such model") == {}
    monkeypatch.delenv(KEY_VARIABLE)
    monkeypatch.setenv(f"{KEY_VARIABLE}_FILE", str(tmp_path / "key"))
    for content in ("wrong\n", f"{triton.key}\n"):
        (tmp_path / "key").write_text(content)
        refused = pytest.raises(FailedPrecondition, match=KEY_VARIABLE) if "wrong" in content else nullcontext()
        with Triton(triton.address) as connection, refused:
            assert connection.version_states("no such model") == {}


def test_only_a_triton_on_this_machine_is_sent_the_key_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    # A Triton may run on this machine, on this very port.
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    assert control_metadata("127.0.0.1:8001") == ()
    path = key_path(8001)
    path.parent.mkdir()
    path.write_text("secret")
    assert control_metadata("127.0.0.1:8001") == (("triton-grpc-protocol-sixpoint-key", "secret"),)
    assert control_metadata("triton:8001") == control_metadata("10.0.0.1:8001") == ()
    assert control_metadata("triton:8001", key="given") == (("triton-grpc-protocol-sixpoint-key", "given"),)


def test_the_key_is_found_whether_or_not_a_process_knows_the_runtime_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime, temporary = tmp_path / "runtime", tmp_path / "temporary"
    runtime.mkdir()
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    # A service of the system, or after su: there is no such folder, and none is made.
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "nowhere" / "else"))
    store_key(8001, "of the service")
    assert [path.parent.parent for path in tmp_path.rglob("*.key")] == [temporary]
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    assert control_metadata("127.0.0.1:8001")[0][1] == "of the service"
    store_key(8001, "stored last")
    assert key_path(8001).is_relative_to(runtime)
    assert control_metadata("127.0.0.1:8001")[0][1] == "stored last"
    remove_key(8001, "of the service")
    remove_key(8001, "stored last")
    assert list(tmp_path.rglob("*.key")) == []


def test_a_triton_whose_key_cannot_be_stored_is_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    runtime = tmp_path / "runtime"
    runtime.mkdir()
    (runtime / "sixpoint").write_text("not a folder")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    LocalTriton(LocalTritonSettings(model_repository=tmp_path))._store_key()
    assert "exporter publish cannot reach this Triton" in caplog.text
    assert str(tmp_path) not in caplog.text


@pytest.mark.triton
def test_triton_is_told_no_secrets(triton: LocalTriton) -> None:
    guard = triton._guard
    assert guard is not None
    environment = Path(f"/proc/{guard.pid}/environ").read_bytes().split(b"\0")
    names = {entry.partition(b"=")[0].decode() for entry in environment if entry}
    assert names <= {"HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "PYTHONDONTWRITEBYTECODE", "TMPDIR", "TZ"} | {
        "CUDA_DEVICE_ORDER",
        "CUDA_VISIBLE_DEVICES",
        "NVIDIA_DRIVER_CAPABILITIES",
        "NVIDIA_VISIBLE_DEVICES",
        "OMP_NUM_THREADS",
    }
    assert "PYTEST_CURRENT_TEST" in os.environ


@pytest.mark.triton
def test_the_key_is_in_nobodys_command_line_once_triton_is_ready(triton: LocalTriton) -> None:
    assert triton._guard is not None
    guard = triton._guard.pid
    (server,) = map(int, Path(f"/proc/{guard}/task/{guard}/children").read_text().split())
    stubs = map(int, Path(f"/proc/{server}/task/{server}/children").read_text().split())
    end = time.monotonic() + 10
    while triton.key in Path(f"/proc/{server}/cmdline").read_text() and time.monotonic() < end:
        time.sleep(0.05)
    for pid in (guard, server, *stubs):
        for name in ("cmdline", "environ"):
            assert triton.key.encode() not in Path(f"/proc/{pid}/{name}").read_bytes()
    # The rest stays as it was.
    arguments = Path(f"/proc/{server}/cmdline").read_text().split("\0")
    assert f"--grpc-port={triton.settings.grpc_port}" in arguments
    assert f"--grpc-restricted-protocol={RESTRICTED_PROTOCOLS}:{KEY_NAME}={'*' * len(triton.key)}" in arguments
    with Triton(triton.address) as connection:
        assert connection.version_states("no such model") == {}
