"""The real Triton from pip: our backend for it, and starting, watching and stopping it."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
import types
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tritonclient import grpc as triton_grpc
from tritonclient.utils import InferenceServerException

from gateway.triton.local.install import TritonEnvironment, check_machine, find_python, install
from gateway.triton.local.log import excerpt
from gateway.triton.local.server import LocalTriton, LocalTritonSettings
from sixpoint.errors import FailedPrecondition, Unavailable
from tests.support.disks import small_disk

ROOT = Path(__file__).parents[3]
ENVIRONMENT = ROOT / ".triton"
needs_triton = pytest.mark.skipif(not ENVIRONMENT.is_dir(), reason="Triton is not installed: make triton")


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on; held open together, so that they differ."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


def put_model(
    repository: Path,
    name: str,
    nodes: Sequence[onnx.NodeProto],
    *,
    types: tuple[str, str],
    dims: tuple[int, ...] = (4,),
    declared: tuple[int, ...] | None = None,
    constants: Sequence[onnx.TensorProto] = (),
) -> None:
    """A model X -> Y of one dynamic batch axis and ``dims``, whose config says ``declared`` where it should lie."""
    element = {"FP16": TensorProto.FLOAT16, "FP32": TensorProto.FLOAT, "UINT8": TensorProto.UINT8}
    element["INT32"] = TensorProto.INT32
    x, y = (
        helper.make_tensor_value_info(tensor, element[kind], ["N", *dims])
        for tensor, kind in zip("XY", types, strict=True)
    )
    graph = helper.make_graph(list(nodes), name, [x], [y], list(constants))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    folder = repository / name / "1"
    folder.mkdir(parents=True)
    onnx.save(model, folder / "model.onnx")
    shape = ", ".join(map(str, declared or dims))
    (repository / name / "config.pbtxt").write_text(
        textwrap.dedent(f"""
            name: "{name}" backend: "onnxruntime" max_batch_size: 8
            input {{ name: "X" data_type: TYPE_{types[0]} dims: [{shape}] }}
            output {{ name: "Y" data_type: TYPE_{types[1]} dims: [{shape}] }}
            instance_group {{ count: 1 }} dynamic_batching {{}} version_policy {{ latest {{ num_versions: 2 }} }}
        """)
    )


def put_bytes_model(repository: Path, **options: tuple[int, ...]) -> None:
    """FP16 in, UINT8 out: a hundred times the input."""
    nodes = [
        helper.make_node("Mul", ["X", "hundred"], ["scaled"]),
        helper.make_node("Cast", ["scaled"], ["Y"], to=TensorProto.UINT8),
    ]
    constants = [helper.make_tensor("hundred", TensorProto.FLOAT16, [], [100.0])]
    put_model(repository, "bytes", nodes, types=("FP16", "UINT8"), constants=constants, **options)


def put_lookup_model(repository: Path) -> None:
    """INT32 indices into eight numbers, slowly: onnxruntime fails on a larger index, and requests pile up meanwhile."""
    constants = [
        helper.make_tensor("table", TensorProto.FLOAT, [8], np.arange(8.0)),
        helper.make_tensor("big", TensorProto.INT64, [2], [2000, 2000]),
        helper.make_tensor("nought", TensorProto.FLOAT, [], [0.0]),
    ]
    nodes = [  # the work depends on the input, lest it be done once, at load
        helper.make_node("Cast", ["X"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMax", ["numbers"], ["number"], keepdims=0),
        helper.make_node("Expand", ["number", "big"], ["wide"]),
        helper.make_node("Sin", ["wide"], ["sines"]),
        helper.make_node("ReduceMax", ["sines"], ["most"], keepdims=0),
        helper.make_node("Mul", ["most", "nought"], ["nothing"]),
        helper.make_node("Gather", ["table", "X"], ["found"], axis=0),
        helper.make_node("Add", ["found", "nothing"], ["Y"]),
    ]
    put_model(repository, "lookup", nodes, types=("INT32", "FP32"), constants=constants)


def settings(repository: Path, log: Path | None = None) -> LocalTritonSettings:
    grpc_port, metrics_port = free_ports(2)
    return LocalTritonSettings(
        model_repository=repository,
        environment=ENVIRONMENT,
        grpc_port=grpc_port,
        metrics_port=metrics_port,
        log=log,
        stop_timeout=5,
    )


def infer(address: str, model: str, value: np.ndarray, kind: str) -> np.ndarray:
    with triton_grpc.InferenceServerClient(address) as client:
        tensor = triton_grpc.InferInput("X", list(value.shape), kind)
        tensor.set_data_from_numpy(value)
        result = client.infer(model, [tensor]).as_numpy("Y")
    assert result is not None
    return result


def ask_bytes(address: str) -> list[int]:
    return infer(address, "bytes", np.array([[0, 0.25, 1, 2]], np.float16), "FP16").reshape(-1).tolist()


def processes(repository: Path) -> dict[int, str]:
    """Commands of the living processes, by id, that were started with a path in the repository."""
    found = {}
    for folder in Path("/proc").iterdir():
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if folder.name.isdecimal() and str(repository) in command:
            found[int(folder.name)] = command
    return found


def eventually(condition: Callable[[], object], seconds: float = 15) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    repository = tmp_path_factory.mktemp("models")
    put_bytes_model(repository)
    put_lookup_model(repository)
    # What an exporter leaves beside models, or left when it was killed, must do no harm.
    (repository / "README.md").write_text("models")
    (repository / ".tmp-new").mkdir()
    (repository / "bytes" / "README.md").write_text("a model")
    (repository / "bytes" / "labels.txt").write_text("object\n")
    (repository / "bytes" / ".tmp-version").mkdir()
    return repository


@pytest.fixture(scope="module")
def triton(repository: Path) -> Iterator[LocalTriton]:
    triton = LocalTriton(settings(repository))
    asyncio.run(triton.start())
    yield triton
    asyncio.run(triton.stop())


@needs_triton
def test_half_floats_go_in_and_bytes_come_out(triton: LocalTriton) -> None:
    assert ask_bytes(triton.address) == [0, 25, 100, 200]


@needs_triton
def test_parallel_requests_run_together_and_get_their_own_rows(triton: LocalTriton) -> None:
    def statistics(client: triton_grpc.InferenceServerClient) -> Any:
        return client.get_inference_statistics("lookup").model_stats[0]

    def ask(index: int) -> np.ndarray:
        return infer(triton.address, "lookup", np.full((1 + index % 2, 4), index % 8, np.int32), "INT32")

    with triton_grpc.InferenceServerClient(triton.address) as client:
        before = statistics(client)
        with ThreadPoolExecutor(12) as pool:
            answers = list(pool.map(ask, range(24)))
        # Triton counts a request after it has answered it.
        assert eventually(lambda: statistics(client).inference_count - before.inference_count == 36)
        executions = statistics(client).execution_count - before.execution_count
    for index, answer in enumerate(answers):
        np.testing.assert_array_equal(answer, np.full((1 + index % 2, 4), index % 8, np.float32))
    assert executions <= 18


@needs_triton
def test_a_request_that_fails_leaves_those_in_its_batch_alone(triton: LocalTriton) -> None:
    def ask(index: int) -> str:
        try:
            value = infer(triton.address, "lookup", np.full((1, 4), 99 if index % 4 == 0 else 5, np.int32), "INT32")
        except InferenceServerException as error:
            return str(error)
        return str(value[0, 0])

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(ask, range(24)))
    for index, answer in enumerate(answers):
        assert ("out of data bounds" in answer) if index % 4 == 0 else answer == "5.0"


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


def test_a_missing_environment_names_the_command_that_makes_it(tmp_path: Path) -> None:
    options = LocalTritonSettings(model_repository=tmp_path, environment=tmp_path / ".triton")
    with pytest.raises(FailedPrecondition, match=r"python -m gateway\.triton\.install"):
        asyncio.run(LocalTriton(options).start())


def test_the_backend_refuses_the_numpy_with_which_tensors_arrive_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    utilities = types.ModuleType("triton_python_backend_utils")
    utilities.TritonModelException = RuntimeError  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", utilities)
    path = ROOT / "gateway" / "triton" / "backends" / "onnxruntime" / "model.py"
    spec = importlib.util.spec_from_file_location("backend_model", path)
    assert spec is not None
    assert spec.loader is not None
    backend = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(backend)
    monkeypatch.setattr(np, "__version__", "2.1.0")
    with pytest.raises(RuntimeError, match=r"numpy 2\.1\.0 .* needs numpy < 2"):
        backend.TritonPythonModel().initialize({})


@pytest.mark.parametrize(
    ("system", "machine", "libc", "expected"),
    [
        ("Darwin", "arm64", ("", ""), "Linux on x86-64, and this is Darwin on arm64"),
        ("Linux", "aarch64", ("glibc", "2.39"), "Linux on x86-64"),
        ("Linux", "x86_64", ("glibc", "2.31"), r"glibc 2\.35 or newer .* glibc 2\.31"),
        ("Linux", "x86_64", ("", ""), "another C library"),
    ],
)
def test_other_machines_are_sent_to_the_container(
    system: str, machine: str, libc: tuple[str, str], expected: str
) -> None:
    with pytest.raises(FailedPrecondition, match=expected) as caught:
        check_machine(system=system, machine=machine, libc=libc)
    assert "docker run" in caught.value.message


def test_other_pythons_are_sent_to_the_container(tmp_path: Path) -> None:
    other = tmp_path / "python3.14"
    other.write_text("""#!/bin/sh\necho '{"version": [3, 14], "library": true}'\n""")
    other.chmod(0o755)
    with pytest.raises(FailedPrecondition, match=r"Python 3\.11 or 3\.12, and this machine has Python 3\.14"):
        find_python([str(other), "no-such-python"])


@needs_triton
def test_a_second_installation_returns_at_once() -> None:
    install(ENVIRONMENT)
    started = time.monotonic()
    assert install(ENVIRONMENT) == TritonEnvironment.locate(ENVIRONMENT)
    assert time.monotonic() - started < 1


def test_of_a_long_log_the_errors_are_told() -> None:
    log = """
        2026-01-01T00:00:00Z E 7 server.cc:241] "CudaDriverHelper has not been initialized."
        2026-01-01T00:00:00Z I 7 server.cc:631] "all is well"
        +---------+
        2026-01-01T00:00:01Z E 7 model.cc:642] "failed to load 'a'"
        error: creating server: Internal - failed to load all models
    """
    assert excerpt(textwrap.dedent(log)) == (
        "\"failed to load 'a'\" | error: creating server: Internal - failed to load all models"
    )
    assert excerpt("") == "its log shows no error"
