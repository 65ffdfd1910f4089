"""The onnxruntime backend for the Triton from pip."""

from __future__ import annotations

import importlib.util
import sys
import types
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from tritonclient import grpc as triton_grpc
from tritonclient.utils import InferenceServerException

from gateway.triton.local.server import LocalTriton
from tests.gateway.triton.local.local_triton import (
    ask_bytes,
    eventually,
    infer,
    needs_triton,
)
from tests.support.paths import ROOT


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


def test_the_backend_refuses_the_numpy_with_which_tensors_arrive_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    utilities = types.ModuleType("triton_python_backend_utils")
    utilities.TritonModelException = RuntimeError  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", utilities)
    path = ROOT / "gateway" / "triton" / "local" / "backends" / "onnxruntime" / "model.py"
    spec = importlib.util.spec_from_file_location("backend_model", path)
    assert spec is not None
    assert spec.loader is not None
    backend = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(backend)
    monkeypatch.setattr(np, "__version__", "2.1.0")
    with pytest.raises(RuntimeError, match=r"numpy 2\.1\.0 .* install numpy < 2"):
        backend.TritonPythonModel().initialize({})
