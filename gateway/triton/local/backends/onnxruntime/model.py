"""The ``onnxruntime`` backend in Python, for the Triton from pip.

NVIDIA's container has a native backend of this name. The Triton from pip has only its Python backend, which runs this
file in a process per model whose config says ``backend: "onnxruntime"``, so that both serve the same model repository
unchanged. The file runs in Triton's environment, where neither sixpoint nor the gateway is installed.

Triton passes the requests of one dynamic batch together. They are joined along the batch axis, run once and split
again. A request that fails gets an error of its own and does not affect the others.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import triton_python_backend_utils as pb_utils

Array = npt.NDArray[Any]
Tensors = dict[str, Array]

# Triton's names of onnxruntime's element types.
_TYPES = {
    "tensor(bool)": "TYPE_BOOL",
    "tensor(uint8)": "TYPE_UINT8",
    "tensor(uint16)": "TYPE_UINT16",
    "tensor(uint32)": "TYPE_UINT32",
    "tensor(uint64)": "TYPE_UINT64",
    "tensor(int8)": "TYPE_INT8",
    "tensor(int16)": "TYPE_INT16",
    "tensor(int32)": "TYPE_INT32",
    "tensor(int64)": "TYPE_INT64",
    "tensor(float16)": "TYPE_FP16",
    "tensor(float)": "TYPE_FP32",
    "tensor(double)": "TYPE_FP64",
}


class TritonPythonModel:
    """One instance of a version of an ONNX model. Triton looks for a class of this name, and calls its methods."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Load ``<version>/model.onnx`` (or the config's ``default_model_filename``).

        Args:
            args: Triton's description of the instance: model_config (JSON), model_repository (the model's folder),
                model_version, model_instance_kind (CPU or GPU), model_instance_device_id.

        Raises:
            TritonModelException: When the environment or the model does not work; Triton shows it as the model's state.
        """
        _require_old_numpy()
        config: dict[str, Any] = json.loads(args["model_config"])
        self._batched = int(config.get("max_batch_size", 0)) > 0
        file_name = config.get("default_model_filename") or "model.onnx"
        path = Path(args["model_repository"], args["model_version"], file_name)
        threads = _threads(config)
        try:
            self._session = ort.InferenceSession(path, _options(threads), providers=_providers(args))
        except Exception as error:
            raise pb_utils.TritonModelException(f"onnxruntime cannot load {file_name}: {error}") from error
        _require_same_tensors(config, self._session)
        self._inputs = {tensor.name: tensor for tensor in self._session.get_inputs()}
        self._outputs = [tensor.name for tensor in self._session.get_outputs()]
        provider = self._session.get_providers()[0]
        pb_utils.Logger.log_info(f"{args['model_name']}:{args['model_version']} on {provider}, {threads} threads")

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Run the requests of one dynamic batch; return one response each, in the same order."""
        responses: list[Any] = [None] * len(requests)
        ready: dict[int, Tensors] = {}
        for index, request in enumerate(requests):
            if request.is_cancelled():
                responses[index] = _error("the request was cancelled", pb_utils.TritonError.CANCELLED)
                continue
            try:
                ready[index] = self._read(request)
            except Exception as error:
                responses[index] = _error(str(error), pb_utils.TritonError.INVALID_ARG)
        for indices in self._group_joinable(ready):
            for index, outcome in self._run(indices, ready).items():
                responses[index] = self._respond(requests[index], outcome)
        return responses

    def finalize(self) -> None:
        """Release the session with its threads and memory."""
        del self._session

    def _read(self, request: Any) -> Tensors:
        """Return a request's input tensors by name, as views of the memory shared with Triton."""
        tensors = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
        missing = sorted(self._inputs.keys() - tensors.keys())
        if missing:
            raise ValueError(f"input {', '.join(missing)} is missing")
        for name, tensor in tensors.items():
            if tensor.size == 0:
                raise ValueError(f"input {name} arrived empty, with shape {list(tensor.shape)}")
        return {name: tensors[name] for name in self._inputs}

    def _group_joinable(self, ready: Mapping[int, Tensors]) -> list[list[int]]:
        """Group the indices of requests that can run together: their shapes are equal but for the batch axis."""
        if not self._batched:
            return [[index] for index in ready]
        groups: dict[tuple[Any, ...], list[int]] = {}
        for index, tensors in ready.items():
            groups.setdefault(tuple(tensor.shape[1:] for tensor in tensors.values()), []).append(index)
        return list(groups.values())

    def _run(self, indices: Sequence[int], ready: Mapping[int, Tensors]) -> dict[int, Tensors | Exception]:
        """Run a group together; if that fails, run each request alone, so that only the faulty one gets the error."""
        parts = [ready[index] for index in indices]
        sizes = [next(iter(part.values())).shape[0] for part in parts] if self._batched else [1]
        feeds = parts[0] if len(parts) == 1 else {n: np.concatenate([part[n] for part in parts]) for n in parts[0]}
        try:
            outputs = self._session.run(self._outputs, feeds)
        except Exception as error:
            if len(indices) == 1:
                return {indices[0]: error}
            return {index: outcome for alone in indices for index, outcome in self._run([alone], ready).items()}
        if len(indices) == 1:
            return {indices[0]: dict(zip(self._outputs, outputs, strict=True))}
        return _split(indices, sizes, dict(zip(self._outputs, outputs, strict=True)))

    def _respond(self, request: Any, outcome: Tensors | Exception) -> Any:
        """Make a response with the requested outputs, or with an error."""
        if isinstance(outcome, Exception):
            return _error(f"onnxruntime: {outcome}", pb_utils.TritonError.INTERNAL)
        requested = request.requested_output_names()
        tensors = [
            pb_utils.Tensor(name, np.ascontiguousarray(outcome[name])) for name in self._outputs if name in requested
        ]
        return pb_utils.InferenceResponse(tensors)


def _require_old_numpy() -> None:
    """Refuse NumPy 2, with which the Python backend of Triton 2.51 passes empty tensors without an error."""
    if int(np.__version__.split(".")[0]) >= 2:
        raise pb_utils.TritonModelException(
            f"numpy {np.__version__} is installed, with which this Triton passes empty tensors: install numpy < 2"
        )


def _require_same_tensors(config: Mapping[str, Any], session: Any) -> None:
    """Refuse a graph that contradicts its config, as the native backend does, instead of failing at every request."""
    for kind, graph in (("input", session.get_inputs()), ("output", session.get_outputs())):
        declared = {tensor["name"]: tensor for tensor in config[kind]}
        actual = {tensor.name: tensor for tensor in graph}
        unknown = declared.keys() - actual.keys()
        if kind == "input":  # a config may leave outputs out, but no inputs
            unknown |= actual.keys() - declared.keys()
        if unknown:
            raise pb_utils.TritonModelException(
                f"{kind} {', '.join(sorted(unknown))}: config has {sorted(declared)}, graph has {sorted(actual)}"
            )
        for name, tensor in declared.items():
            batch = [-1] if config.get("max_batch_size", 0) else []
            dims = [*batch, *(int(dim) for dim in tensor["dims"])]
            _require_same_tensor(f"{kind} {name}", (tensor["data_type"], dims), actual[name])


def _require_same_tensor(name: str, declared: tuple[str, list[int]], actual: Any) -> None:
    """Compare a tensor's declared type and shape with those of the graph; -1 or a name stands for any size."""
    data_type, dims = declared
    if _TYPES.get(actual.type) != data_type:
        raise pb_utils.TritonModelException(f"{name}: config says {data_type}, graph says {actual.type}")
    shape = [dim if isinstance(dim, int) and dim > 0 else -1 for dim in actual.shape]
    pairs = zip(dims, shape, strict=False)
    if len(shape) != len(dims) or any(-1 not in pair and pair[0] != pair[1] for pair in pairs):
        raise pb_utils.TritonModelException(f"{name}: config says shape {dims}, graph says {shape}")


def _threads(config: Mapping[str, Any]) -> int:
    """Return the threads of one instance: as the config says, like the native backend, or a share of the cores."""
    text = config.get("parameters", {}).get("intra_op_thread_count", {}).get("string_value", "")
    if text.isdecimal() and int(text) > 0:
        return int(text)
    instances = sum(int(group.get("count", 1)) for group in config.get("instance_group", [])) or 1
    return max(1, len(os.sched_getaffinity(0)) // instances)


def _options(threads: int) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Threads that spin between requests would take cores from the gateway, which works while Triton is idle.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _providers(args: Mapping[str, str]) -> list[Any]:
    """Use CUDA if Triton placed the instance on a GPU and onnxruntime supports it, and the CPU otherwise."""
    if args["model_instance_kind"] == "GPU" and "CUDAExecutionProvider" in ort.get_available_providers():
        cuda = ("CUDAExecutionProvider", {"device_id": args["model_instance_device_id"]})
        return [cuda, "CPUExecutionProvider"]
    return ["CPUExecutionProvider"]


def _split(indices: Sequence[int], sizes: Sequence[int], outputs: Tensors) -> dict[int, Tensors | Exception]:
    """Split the joint outputs into those of each request."""
    ends = np.cumsum(sizes)
    for name, output in outputs.items():
        if output.shape[:1] != (ends[-1],):
            error = ValueError(f"output {name} has shape {list(output.shape)} for a batch of {ends[-1]}")
            return dict.fromkeys(indices, error)
    return {
        index: {name: output[end - size : end] for name, output in outputs.items()}
        for index, size, end in zip(indices, sizes, ends, strict=True)
    }


def _error(message: str, code: int) -> Any:
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, code))
