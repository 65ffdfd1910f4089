"""Load an ONNX file and run it on arrays from stdin, within the limits of :mod:`exporter.graph.session`.

The first message names the file and the memory that it may take, the others name an input and an output and bring an
array; each is answered on stdout.
"""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnxruntime as ort

from exporter.graph.messages import receive, send

if TYPE_CHECKING:
    from sixpoint._typing import Array

__all__ = ["main"]

_LOG_NOTHING = 4  # failures are raised as exceptions, too
# Threads' stacks and what libraries map by themselves, for each core.
_BYTES_PER_CORE = 2**26


def main() -> None:
    """Serve until stdin ends."""
    # What is printed by libraries must not get between the messages.
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    session: ort.InferenceSession | None = None
    while True:
        try:
            job, value = receive(sys.stdin.buffer)
        except EOFError:
            return
        answer: Array | None = None
        reply: dict[str, Any]
        try:
            if session is None:
                _limit_memory(job["memory_bytes"])
                session = _open(Path(job["file"]), job["weights"])
                reply = {
                    "inputs": [tensor.name for tensor in session.get_inputs()],
                    "outputs": [tensor.name for tensor in session.get_outputs()],
                }
            else:
                reply, answer = {}, session.run([job["output"]], {job["input"]: value})[0]
        except Exception as error:  # ONNX Runtime's errors have no common base class
            text = str(error).strip().partition("\n")[0] or type(error).__name__
            memory = isinstance(error, MemoryError) or "alloc" in text.lower()
            reply = {"error": text, "memory": memory}
        send(replies, reply, answer)


def _limit_memory(size: int) -> None:
    """Limit the addresses of this process to those it has and ``size`` bytes more."""
    if not Path("/proc/self/statm").exists():  # macOS ignores the limit
        return
    present = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limit = present + size + _BYTES_PER_CORE * (os.cpu_count() or 1)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _open(path: Path, weights: str) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = _LOG_NOTHING
    if weights:
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", weights)
    source = path.read_bytes() if weights else path
    return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])


if __name__ == "__main__":
    main()
