"""Run Triton for a program, so that no process of Triton outlives the program.

Triton runs every model in a process of its own. Three accidents would leave processes behind: the program is killed
before it can stop Triton; Triton is killed, and its model processes live on; or a model process is killed, for example
because memory is short, after which Triton calls the model ready and answers all its requests with errors. In each
case the guard stops all of Triton, removes its files, and ends. The program only has to watch the guard.

The guard runs as ``python guard.py OPTIONS COMMAND...`` in a session of its own. It ends when its standard input is
closed, which happens at the latest when the program dies. It needs Linux and only the standard library.

Triton takes the key of its control API on its command line only, which every user of the machine can read. So the guard
is told the key on its standard input: the first line, if the command has :data:`KEY_MARK` in the place of the key. With
the next byte the program says that Triton is ready; the guard then overwrites the key in Triton's command line.
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

__all__ = ["KEY_MARK", "main"]

KEY_MARK = "@KEY@"
"""What stands for the key in the arguments of the guard."""

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_STUB = "triton_python_b"  # name of the model processes, which the kernel truncates to fifteen characters
_INTERVAL = 0.5  # seconds between two checks of the model processes


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command until it ends, a model process dies or standard input is closed; return an exit code."""
    parser = argparse.ArgumentParser(
        prog="guard.py", description="Run Triton, and stop all of its processes at the end."
    )
    parser.add_argument(
        "--grace", type=float, default=10.0, help="seconds that Triton may take to stop before it is killed"
    )
    parser.add_argument("--folder", type=Path, help="folder to remove at the end")
    parser.add_argument("--shared-memory", default="", help="prefix of the files in /dev/shm to remove at the end")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args(arguments)
    # Orphaned processes of Triton become children of the guard, which reaps them.
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # raises an exception, so that the clean-up below runs
    # Files of Triton are this user's alone.
    os.umask(0o077)
    key = _read_line() if any(KEY_MARK in argument for argument in options.command) else ""
    process = subprocess.Popen(
        [argument.replace(KEY_MARK, key) for argument in options.command],
        stdin=subprocess.DEVNULL,
        process_group=0,
        # Running code between fork and exec is safe because the guard has a single thread.
        preexec_fn=lambda: _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL),
    )
    try:
        _wait(process, options.shared_memory, key=key)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        _end(process, grace=options.grace)
        _remove_files(options.folder, options.shared_memory)
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _read_line() -> str:
    """Read a line of standard input, and not a byte more."""
    line = bytearray()
    while (byte := os.read(sys.stdin.fileno(), 1)) not in (b"", b"\n"):
        line += byte
    return line.decode()


def _wait(process: subprocess.Popen[bytes], prefix: str, *, key: str) -> None:
    """Wait until the process ends, standard input is closed, or a model process stays dead.

    Meanwhile keep the files in shared memory whose names begin with ``prefix`` private: they hold images.
    """
    suspects: set[int] = set()
    while process.poll() is None:
        _restrict_files(prefix)
        readable, _, _ = select.select([sys.stdin], [], [], _INTERVAL)
        if readable:
            if not os.read(sys.stdin.fileno(), 4096):
                return
            _hide(process.pid, key)
        # Triton reaps the model processes that it stops at once: one that stays a zombie was killed by something else.
        dead = {pid for pid in _children(process.pid) if _is_dead_stub(pid)}
        if dead & suspects:
            sys.stderr.write("sixpoint: a model process of Triton died; stopping Triton, which cannot replace it\n")
            return
        suspects = dead


def _hide(pid: int, key: str) -> None:
    """Overwrite the key in the command line of a child that has read it. Some kernels do not let us."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        # https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html: fields 48 and 49, of which the name is the second.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        start, end = int(fields[45]), int(fields[46])
        with Path(f"/proc/{pid}/mem").open("r+b", buffering=0) as memory:
            memory.seek(start)
            place = memory.read(end - start).find(key.encode()) if key else -1
            if place >= 0:
                memory.seek(start + place)
                memory.write(b"*" * len(key))


def _children(pid: int) -> set[int]:
    """Return the process ids of the children of all threads of a process."""
    children: set[int] = set()
    with contextlib.suppress(OSError):  # the process may end at any moment, and some kernels do not have this file
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                children.update(map(int, (task / "children").read_text().split()))
    return children


def _is_dead_stub(pid: int) -> bool:
    try:
        name, _, rest = Path(f"/proc/{pid}/stat").read_text().partition("(")[2].rpartition(")")
    except OSError:
        return False
    return name == _STUB and rest.split()[0] == "Z"


def _end(process: subprocess.Popen[bytes], *, grace: float) -> None:
    """Ask the process to stop, then kill the rest of its group, and reap all processes."""
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


def _restrict_files(prefix: str) -> None:
    """Let only this user read files in shared memory: Triton makes them readable for all, whatever the umask."""
    for path in Path("/dev/shm").glob(f"{prefix}*") if prefix else ():
        with contextlib.suppress(OSError):  # Triton may remove it at any moment
            if path.stat().st_mode & 0o077:
                path.chmod(0o600)


def _remove_files(folder: Path | None, prefix: str) -> None:
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
    if prefix:
        for path in Path("/dev/shm").glob(f"{prefix}*"):
            path.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
