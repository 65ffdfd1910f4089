"""Commands under a guard, which ends them with the process that started them, also when that is killed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = ["guarded", "signal_of"]

_GUARD = Path(__file__).with_name("guard.py")
_SIGNALLED = 128


def guarded(command: Sequence[str], *, grace: float) -> list[str]:
    """Return the command that runs a command under a guard.

    Its standard input must be a pipe that the caller keeps open: when it is closed, as when the caller is killed, or on
    SIGTERM, the command's process group is asked to end, and killed after a while.

    Args:
        command: Program and arguments.
        grace: Seconds that it may take to end before it is killed.
    """
    return [sys.executable, "-IS", str(_GUARD), str(grace), *command]


def signal_of(code: int) -> int:
    """Return the signal that ended a guarded command, or its guard, by the exit code; 0 if none did."""
    return max(0, -code if code < 0 else code - _SIGNALLED)
