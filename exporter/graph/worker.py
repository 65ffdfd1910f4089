"""How the exporter starts its own processes for files from elsewhere."""

from __future__ import annotations

import os
import sys

__all__ = ["worker_command", "worker_environment"]

_VARIABLES = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "OMP_NUM_THREADS", "HOME", "LANG")
"""The environment that a process gets; others may hold secrets."""


def worker_command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module of the exporter."""
    # -P: the working folder may hold a stranger's model, and Python files that must not be imported.
    return [sys.executable, "-P", "-m", module, *arguments]


def worker_environment(**more: str) -> dict[str, str]:
    """Return the variables of a process: the few that it needs of this one, and ``more``."""
    inherited = {name: os.environ[name] for name in _VARIABLES if name in os.environ}
    return {**inherited, "PYTHONDONTWRITEBYTECODE": "1", **more}
