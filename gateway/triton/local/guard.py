"""Stand between a program and the Triton it started, so that nothing of Triton outlives the program.

Triton runs every model in a process of its own, and three accidents would leave some of that behind: the program is
killed before it can stop Triton; Triton is killed and its model processes live on; a model process is killed, for want
of memory say, and Triton answers every request for that model with an error from then on, while calling it ready.
The guard ends all of Triton in each of these, and removes its files. The program then sees one thing: the guard ended.

It runs as ``python guard.py OPTIONS COMMAND...`` in a session of its own, and ends when its standard input does, which
happens at the latest when the program dies, however it dies. Only Linux; only the standard library.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

__all__ = ["main"]

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_STUB = "triton_python_b"  # the model processes' name, which the kernel cuts after fifteen characters
_INTERVAL = 0.5  # seconds between two looks at the model processes


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command until it ends, its model process dies or standard input closes; returns an exit code."""
    parser = argparse.ArgumentParser(prog="guard.py", description="Runs Triton and leaves nothing of it behind.")
    parser.add_argument("--grace", type=float, default=10.0, help="seconds to stop in before being killed")
    parser.add_argument("--folder", type=Path, help="folder to remove at the end")
    parser.add_argument("--shared-memory", default="", help="prefix of the files in /dev/shm to remove at the end")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args(arguments)
    # Processes that Triton leaves behind become the guard's own children, for it to reap.
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # an exception, so that the clean-up below runs
    process = subprocess.Popen(
        options.command,
        stdin=subprocess.DEVNULL,
        process_group=0,
        # The guard has a single thread, so that running code between fork and exec is safe here.
        preexec_fn=lambda: _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL),
    )
    try:
        _wait(process)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        _end(process, grace=options.grace)
        _tidy(options.folder, options.shared_memory)
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _wait(process: subprocess.Popen[bytes]) -> None:
    """Until the process ends, standard input ends, or a model process is found dead and not restarted."""
    suspects: set[int] = set()
    while process.poll() is None:
        readable, _, _ = select.select([sys.stdin], [], [], _INTERVAL)
        if readable and not os.read(sys.stdin.fileno(), 4096):
            return
        # Triton reaps a model process that it ended itself at once: one that stays dead was killed by something else.
        dead = {pid for pid in _children(process.pid) if _is_dead_stub(pid)}
        if dead & suspects:
            sys.stderr.write("sixpoint: a model process of Triton died; ending Triton, which cannot replace it\n")
            return
        suspects = dead


def _children(pid: int) -> set[int]:
    """Process ids of the children of every thread of a process."""
    found: set[int] = set()
    with contextlib.suppress(OSError):  # the process may end at any moment, and some kernels have no such file
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                found.update(map(int, (task / "children").read_text().split()))
    return found


def _is_dead_stub(pid: int) -> bool:
    try:
        name, _, rest = Path(f"/proc/{pid}/stat").read_text().partition("(")[2].rpartition(")")
    except OSError:
        return False
    return name == _STUB and rest.split()[0] == "Z"


def _end(process: subprocess.Popen[bytes], *, grace: float) -> None:
    """Ask the process to stop, then kill what is left of its group, and reap all of it."""
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + grace
    with contextlib.suppress(ChildProcessError):  # no children left
        while time.monotonic() < deadline:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                time.sleep(0.01)


def _tidy(folder: Path | None, prefix: str) -> None:
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
    if prefix:
        for path in Path("/dev/shm").glob(f"{prefix}*"):
            path.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
