"""A process that runs a stranger's graph, with a limit for its memory and for the time of each answer."""

from __future__ import annotations

import os
import subprocess
import threading
import weakref
from dataclasses import dataclass
from typing import Any

import numpy as np

from exporter.graph.adapters import network_shape
from exporter.graph.messages import receive, send
from exporter.graph.worker import worker_command, worker_environment
from sixpoint._typing import Array
from sixpoint.errors import InvalidArgument
from sixpoint.model_spec import ModelSpec

__all__ = ["GraphError", "LimitedProcess", "RunLimits"]

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


class LimitedProcess:
    """A process of the exporter that answers messages (:mod:`exporter.graph.messages`); it ends with this object.

    The first message must set its ``memory_bytes`` (:func:`exporter.graph.worker.limit_memory`).

    Args:
        module: Module to run.
        limits: Limits of each answer.
        name: Name of the graph's file in errors.
        environment: Variables for the process.
    """

    def __init__(self, module: str, limits: RunLimits, *, name: str, **environment: str) -> None:
        self._name, self.limits = name, limits
        self._process = subprocess.Popen(
            worker_command(module),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # a pipe that nobody reads could fill up
            env=worker_environment(MALLOC_ARENA_MAX="2", **environment),  # each arena takes 64 MiB of addresses
        )
        self._finish = weakref.finalize(self, _end, self._process)

    def close(self) -> None:
        """End the process."""
        self._finish()

    def ask(self, job: dict[str, Any], value: Array | None = None) -> tuple[dict[str, Any], Array | None]:
        """Send a message and return the reply.

        Raises:
            GraphError: The reply is an error of ONNX Runtime.
            InvalidArgument: It takes too much time or memory, or ends the process.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        expired = threading.Event()

        def expire() -> None:
            expired.set()
            self._process.kill()

        timer = threading.Timer(self.limits.seconds, expire)
        timer.start()
        try:
            send(self._process.stdin, job, value)
            reply, result = receive(self._process.stdout)
        except (OSError, ValueError, EOFError) as error:
            status = self._process.wait()
            reason = f"it ended the process that runs it (status {status})"
            if expired.is_set():
                reason = f"it did not finish within {self.limits.seconds:.0f} s, the limit for its window"
            raise InvalidArgument(f"{self._name} cannot be used: {reason}") from error
        finally:
            timer.cancel()
        if reply.get("memory"):
            gib = self.limits.memory_bytes / 2**30
            raise InvalidArgument(
                f"{self._name} cannot be used: it takes over {gib:.1f} GiB of memory, the limit for its window"
            )
        if "error" in reply:
            raise GraphError(reply["error"])
        return reply, result


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            try:
                stream.close()
            except OSError:  # what was not written yet
                continue
