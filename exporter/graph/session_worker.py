"""Load an ONNX file and run it on arrays from stdin, within the limits of :mod:`exporter.graph.limited_process`.

The first message names the file and the memory that it may take, the others name an input and an output and bring an
array; each is answered on stdout.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnxruntime as ort

from exporter.graph.messages import receive, send
from exporter.graph.worker import error_reply, limit_memory

if TYPE_CHECKING:
    from sixpoint._typing import Array

__all__ = ["main"]

_LOG_NOTHING = 4  # failures are raised as exceptions, too


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
                limit_memory(job["memory_bytes"])
                session = _open(Path(job["file"]), job["weights"])
                reply = {
                    "inputs": [tensor.name for tensor in session.get_inputs()],
                    "outputs": [tensor.name for tensor in session.get_outputs()],
                }
            else:
                reply, answer = {}, session.run([job["output"]], {job["input"]: value})[0]
        except Exception as error:  # ONNX Runtime's errors have no common base class
            reply = error_reply(error)
        send(replies, reply, answer)


def _open(path: Path, weights: str) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = _LOG_NOTHING
    if weights:
        options.add_session_config_entry("session.model_external_initializers_file_folder_path", weights)
    source = path.read_bytes() if weights else path
    return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])


if __name__ == "__main__":
    main()
