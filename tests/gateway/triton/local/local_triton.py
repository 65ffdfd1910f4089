"""Models, settings and helpers for tests of the Triton on this machine."""

from __future__ import annotations

import socket
import textwrap
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tritonclient import grpc as triton_grpc

from gateway.triton.local.server import LocalTritonSettings
from tests.support.paths import TRITON_ENVIRONMENT

ENVIRONMENT = TRITON_ENVIRONMENT


def needs_triton(test: Callable[..., None]) -> Callable[..., None]:
    """Mark a test that runs the Triton from pip, and skip it where that is not installed."""
    skip = pytest.mark.skipif(not ENVIRONMENT.is_dir(), reason="Triton is not installed: make triton")
    return pytest.mark.triton(skip(test))


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
