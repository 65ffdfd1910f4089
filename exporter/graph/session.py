"""ONNX Runtime on the CPU, in a process of its own: a graph from elsewhere may loop for ever or take all memory."""

from __future__ import annotations

import os
import subprocess
import threading
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from exporter.graph.adapters import network_shape
from exporter.graph.external_data import external_file_names
from exporter.graph.messages import receive, send
from exporter.graph.worker import worker_command, worker_environment
from sixpoint._typing import Array
from sixpoint.errors import InvalidArgument, ModelSpecError
from sixpoint.model_spec import ModelSpec, Task

__all__ = ["GraphError", "GraphSession", "RunLimits", "require_small_window"]

_MAX_WINDOW = 2**25
"""Voxels that a network may see at once, as 320 x 320 x 320; larger ones fit into no GPU."""
# A network of 64 features in full resolution takes 1 to 2 KiB a voxel, and some attention 4.
_BASE_BYTES, _BYTES_PER_VOXEL = 3 * 2**30, 8 * 2**10
# nnU-Net's largest networks take 20 s for a million voxels on two cores.
_BASE_SECONDS, _SECONDS_PER_VOXEL, _MAX_SECONDS = 60.0, 1.2e-4, 1800.0


class GraphError(Exception):
    """ONNX Runtime refuses a graph or fails to run it; the message is its own."""


@dataclass(frozen=True, kw_only=True)
class RunLimits:
    """What a graph may take.

    Attributes:
        seconds: Time to load the graph, and for each run.
        memory_bytes: Memory of the process, beyond what ONNX Runtime takes by itself.
    """

    seconds: float
    memory_bytes: int

    @classmethod
    def of(cls, spec: ModelSpec) -> RunLimits:
        """Return the limits for a model: they grow with its window, for a batch of 2."""
        voxels = 2 * int(np.prod(network_shape(spec)[1:]))
        physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return cls(
            seconds=min(_BASE_SECONDS + voxels * _SECONDS_PER_VOXEL, _MAX_SECONDS),
            memory_bytes=min(_BASE_BYTES + voxels * _BYTES_PER_VOXEL, physical * 3 // 4),
        )


class GraphSession:
    """An ONNX file, loaded into ONNX Runtime in a process that ends with this object.

    Args:
        path: The file.
        spec: Description of the model, of whose window the limits follow.
        weights: Folder of the file's external data, if it is not the file's own.
        name: Name of the file in errors; empty: its own.

    Raises:
        GraphError: ONNX Runtime refuses the file.
        InvalidArgument: It takes too much time or memory to load.
    """

    def __init__(self, path: Path, spec: ModelSpec, *, weights: Path | None = None, name: str = "") -> None:
        self._name = name or path.name
        self._limits = RunLimits.of(spec)
        self._process = subprocess.Popen(
            worker_command("exporter.graph.session_worker"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # a pipe that nobody reads could fill up
            env=worker_environment(MALLOC_ARENA_MAX="2"),  # each takes 64 MiB of addresses
        )
        self._finish = weakref.finalize(self, _end, self._process)
        data = [(weights or path.parent) / file for file in external_file_names(path)]
        size = sum(file.stat().st_size for file in (path, *data))
        job = {
            "file": str(path.resolve()),
            "weights": str(weights.resolve()) if weights else "",
            "memory_bytes": self._limits.memory_bytes + 4 * size,
        }
        reply, _ = self._ask(job)
        self.inputs: list[str] = reply["inputs"]
        self.outputs: list[str] = reply["outputs"]

    def run(self, value: Array, *, output: str = "") -> Array:
        """Return an output of the graph (empty: its first) for its one input [batch, channel, its spatial axes].

        Raises:
            GraphError: ONNX Runtime fails to run it.
            InvalidArgument: It takes too much time or memory.
        """
        _, result = self._ask({"input": self.inputs[0], "output": output or self.outputs[0]}, value)
        assert result is not None
        return result

    def _ask(self, job: dict[str, Any], value: Array | None = None) -> tuple[dict[str, Any], Array | None]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        expired = threading.Event()

        def expire() -> None:
            expired.set()
            self._process.kill()

        timer = threading.Timer(self._limits.seconds, expire)
        timer.start()
        try:
            send(self._process.stdin, job, value)
            reply, result = receive(self._process.stdout)
        except (OSError, ValueError, EOFError) as error:
            status = self._process.wait()
            reason = f"it ended the process that runs it (status {status})"
            if expired.is_set():
                reason = f"it did not finish within {self._limits.seconds:.0f} s, the limit for its window"
            raise InvalidArgument(f"{self._name} cannot be used: {reason}") from error
        finally:
            timer.cancel()
        if reply.get("memory"):
            gib = self._limits.memory_bytes / 2**30
            raise InvalidArgument(
                f"{self._name} cannot be used: it takes over {gib:.1f} GiB of memory, the limit for its window"
            )
        if "error" in reply:
            raise GraphError(reply["error"])
        return reply, result


def require_small_window(spec: ModelSpec) -> None:
    """Refuse a window that no network can be run on.

    Raises:
        ModelSpecError: It has too many voxels.
    """
    segmentation = spec.task is Task.SEGMENTATION
    _, z, y, x = spec.input_shape
    if x * y * z > _MAX_WINDOW:
        field = "patch.size" if segmentation else "roi.size"
        raise ModelSpecError(
            f"{field} of {x} x {y} x {z} has {x * y * z:,} voxels, expected at most {_MAX_WINDOW:,}: write the size "
            "that the network was trained on"
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            try:
                stream.close()
            except OSError:  # what was not written yet
                continue
