"""Trainer and exporter as processes: this package imports neither, since the library needs no PyTorch."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sixpoint.errors import Aborted, FailedPrecondition, SixpointError
from sixpoint.processes import guarded, signal_of

__all__ = ["Programs"]

_GRACE_SECONDS = 20.0
_STOP_SECONDS = 30.0
_TICK_SECONDS = 0.5


@dataclass(frozen=True, kw_only=True)
class Programs:
    """How trainer and exporter are started.

    Attributes:
        python: Python in which they are installed; empty for that of this process.
        environment: Their variables; None for those of this process.
        is_stopped: Asked twice a second while one runs, which ends as soon as it says so.
    """

    python: str = ""
    environment: Mapping[str, str] | None = None
    is_stopped: Callable[[], bool] = lambda: False

    def run_logged(self, program: str, arguments: Sequence[str], *, log: Path) -> None:
        """Run a program of sixpoint to its end, its output in a file.

        Args:
            program: "trainer" or "exporter".
            arguments: Its arguments.
            log: File that its output is appended to.

        Raises:
            FailedPrecondition: It failed; the message is its own.
            Aborted: A signal ended it, or it was stopped.
        """
        with log.open("ab") as file, self._started(program, arguments, stdout=file, stderr=file) as process:
            self._outcome(process)
        if process.returncode:
            raise _failure(program, process.returncode, log.read_text(errors="replace"))

    def run_json(self, program: str, arguments: Sequence[str]) -> Any:
        """Run a program of sixpoint that prints JSON, and return what it printed.

        Raises:
            FailedPrecondition: It failed; the message is its own.
            Aborted: A signal ended it, or it was stopped.
        """
        with self._started(program, arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            printed, said = self._outcome(process)
        if process.returncode:
            raise _failure(program, process.returncode, said.decode(errors="replace"))
        return json.loads(printed)

    def _outcome(self, process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
        """Wait for a program's end; returns what it wrote to pipes.

        In short waits: where another thread takes an interrupt, the one that waits is not woken by it.
        """
        while not self.is_stopped():
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.communicate(timeout=_TICK_SECONDS)
        raise Aborted("the round was stopped: the next one goes on with it")

    @contextlib.contextmanager
    def _started(self, program: str, arguments: Sequence[str], **streams: Any) -> Iterator[subprocess.Popen[bytes]]:
        """Start a program, which ends with the block, and with this process, however that ends."""
        # Not Popen's own pipe: communicate closes that at once, and the guard would take this for the end.
        reading, writing = os.pipe()
        try:
            command = guarded([self.python or sys.executable, "-m", program, *arguments], grace=_GRACE_SECONDS)
            process = subprocess.Popen(command, stdin=reading, start_new_session=True, env=self.environment, **streams)
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.terminate()
                    try:
                        process.wait(_STOP_SECONDS)
                    except subprocess.TimeoutExpired:
                        process.kill()
                        process.wait()
        finally:
            os.close(reading)
            os.close(writing)


def _failure(program: str, code: int, output: str) -> SixpointError:
    if killed_by := signal_of(code):
        return Aborted(f"{program} was ended by signal {killed_by}: run the loop again, and it goes on")
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    sentence = next((line for line in reversed(lines) if line.startswith("error: ")), lines[-1] if lines else "")
    return FailedPrecondition(f"{program}: {sentence.removeprefix('error: ')}")
