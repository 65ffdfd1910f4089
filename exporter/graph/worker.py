"""How the exporter starts its own processes for files from elsewhere, and how these limit themselves."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

__all__ = ["error_reply", "limit_memory", "worker_command", "worker_environment"]

_VARIABLES = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "OMP_NUM_THREADS", "HOME", "LANG")
"""The environment that a process gets; others may hold secrets."""
# Threads' stacks and what libraries map by themselves, for each core.
_BYTES_PER_CORE = 2**26


def worker_command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module of the exporter."""
    # -P: the working folder may hold a stranger's model, and Python files that must not be imported.
    return [sys.executable, "-P", "-m", module, *arguments]


def worker_environment(**more: str) -> dict[str, str]:
    """Return the variables of a process: the few that it needs of this one, and ``more``."""
    inherited = {name: os.environ[name] for name in _VARIABLES if name in os.environ}
    return {**inherited, "PYTHONDONTWRITEBYTECODE": "1", **more}


def limit_memory(size: int) -> None:
    """Limit the addresses of this process to those it has and ``size`` bytes more."""
    if not Path("/proc/self/statm").exists():  # macOS ignores the limit
        return
    import resource

    present = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limit = present + size + _BYTES_PER_CORE * (os.cpu_count() or 1)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def error_reply(error: Exception) -> dict[str, Any]:
    """Return the reply for an error of ONNX Runtime, whose errors have no common base class."""
    text = str(error).strip().partition("\n")[0] or type(error).__name__
    return {"error": text, "memory": isinstance(error, MemoryError) or "alloc" in text.lower()}
