"""Run a command for another process, so that none of its processes outlives that one, however that ends.

Called as ``python guard.py GRACE COMMAND...``. Standard input belongs to the caller: when it is closed, or on SIGTERM,
the command's process group is asked to end, and killed after GRACE seconds. It needs only the standard library.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence

__all__ = ["main"]

_POLL_SECONDS = 0.2
_PR_SET_PDEATHSIG = 1


def main(arguments: Sequence[str]) -> int:
    """Run a command until it ends or standard input is closed; return its exit code."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    grace, *command = arguments
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, process_group=0, preexec_fn=_die_with_parent)
    try:
        while process.poll() is None:
            readable, _, _ = select.select([sys.stdin], [], [], _POLL_SECONDS)
            if readable and not os.read(sys.stdin.fileno(), 4096):
                break
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        _end(process, float(grace))
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


def _die_with_parent() -> None:
    """Have the kernel kill this process when the guard is killed, where the kernel is Linux."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _end(process: subprocess.Popen[bytes], grace: float) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(grace)
    # Whatever it started is in its group.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
