"""Starting, watching and stopping Triton on this machine."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest

from gateway.triton.local.server import LocalTriton, LocalTritonSettings
from sixpoint.errors import Unavailable
from tests.gateway.triton.local.local_triton import (
    ENVIRONMENT,
    ask_bytes,
    eventually,
    needs_triton,
    processes,
    put_bytes_model,
    settings,
)
from tests.support.disks import small_disk
from tests.support.paths import ROOT


@needs_triton
def test_a_dead_triton_is_restarted_and_so_is_one_that_lost_a_model_process(
    repository: Path, triton: LocalTriton, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        watching = asyncio.create_task(triton.watch())
        for victim in ("/bin/tritonserver", "triton_python_backend_stub"):
            pid = next(pid for pid, command in processes(repository).items() if command.split()[0].endswith(victim))
            os.kill(pid, signal.SIGKILL)
            async with asyncio.timeout(20):
                while not any("restarting" in record.message for record in caplog.records):
                    await asyncio.sleep(0.05)
                while not any("ready" in record.message for record in caplog.records):
                    await asyncio.sleep(0.05)
            assert await asyncio.to_thread(ask_bytes, triton.address) == [0, 25, 100, 200]
            caplog.clear()
        watching.cancel()

    with caplog.at_level(logging.INFO):
        asyncio.run(scenario())


@needs_triton
def test_a_restart_that_the_system_refuses_is_tried_again_and_leaves_nothing(
    repository: Path,
    triton: LocalTriton,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def logged(words: str) -> None:
        async with asyncio.timeout(20):
            while not any(words in record.message for record in caplog.records):
                await asyncio.sleep(0.05)

    async def scenario(disk: Path) -> None:
        watching = asyncio.create_task(triton.watch())
        with monkeypatch.context() as patched:
            # The backends, a few MB, do not fit.
            patched.setattr(tempfile, "tempdir", str(disk))
            pid = next(pid for pid, command in processes(repository).items() if "/bin/tritonserver" in command)
            os.kill(pid, signal.SIGKILL)
            await logged("did not restart: Triton cannot be started: its backends cannot be copied")
            assert list(disk.iterdir()) == []
        await logged("Triton is ready")
        assert await asyncio.to_thread(ask_bytes, triton.address) == [0, 25, 100, 200]
        watching.cancel()

    with caplog.at_level(logging.INFO), small_disk(tmp_path / "disk", megabytes=1) as disk:
        asyncio.run(scenario(disk))


@needs_triton
def test_a_program_that_cannot_be_run_is_one_line_and_leaves_nothing(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(sys, "executable", "/dev/null")
    with pytest.raises(Unavailable, match=r"Triton cannot be started: Permission denied\. .*TMPDIR"):
        asyncio.run(LocalTriton(settings(repository)).start())
    assert list(tmp_path.iterdir()) == []


@needs_triton
def test_a_taken_port_is_named_with_the_variable_that_changes_it(repository: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        options = LocalTritonSettings(model_repository=repository, environment=ENVIRONMENT, grpc_port=port)
        with pytest.raises(Unavailable, match=rf"127\.0\.0\.1:{port} .*SIXPOINT_TRITON_GRPC_PORT"):
            asyncio.run(LocalTriton(options).start())


@needs_triton
def test_models_that_contradict_their_config_are_explained_and_nothing_is_left_running(tmp_path: Path) -> None:
    put_bytes_model(tmp_path, declared=(5,))
    triton = LocalTriton(settings(tmp_path, log=tmp_path / "triton.log"))
    with pytest.raises(Unavailable, match=r"bytes:1: .*config says shape \[-1, 5\], graph says \[-1, 4\]"):
        asyncio.run(triton.start())
    assert not triton.running
    assert processes(tmp_path) == {}
    assert "loading: bytes:1" in (tmp_path / "triton.log").read_text()


@needs_triton
@pytest.mark.parametrize("orderly", [True, False], ids=["stopped", "killed"])
def test_nothing_of_triton_outlives_the_program_that_started_it(tmp_path: Path, orderly: bool) -> None:
    put_bytes_model(tmp_path)
    options = settings(tmp_path)
    program = f"""
        import asyncio
        from pathlib import Path
        from gateway.triton.local.server import LocalTriton, LocalTritonSettings
        async def main():
            options = LocalTritonSettings(
                model_repository=Path({str(tmp_path)!r}), environment=Path({str(ENVIRONMENT)!r}),
                grpc_port={options.grpc_port}, metrics_port={options.metrics_port}, stop_timeout=5,
            )
            async with LocalTriton(options) as triton:
                print("ready", triton._folder, flush=True)
                await asyncio.to_thread(input)
        asyncio.run(main())
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        word, folder = parent.stdout.readline().split()
        assert word == "ready"
        commands = processes(tmp_path).values()
        assert len(commands) == 3 + 1  # guard, tritonserver, model process; and the program itself
        prefix = next(match[1] for line in commands if (match := re.search(r"--shared-memory=(\S+)", line)))
        assert list(Path("/dev/shm").glob(f"{prefix}*"))
        if orderly:
            parent.communicate("\n")
            assert processes(tmp_path) == {}
        else:
            parent.kill()
    assert eventually(lambda: not processes(tmp_path))
    assert eventually(lambda: not Path(folder).exists())
    assert eventually(lambda: not list(Path("/dev/shm").glob(f"{prefix}*")))
