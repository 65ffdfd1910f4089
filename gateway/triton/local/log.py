"""Find the lines of Triton's log that explain a failure."""

from __future__ import annotations

import re

__all__ = ["excerpt"]

_PREFIX = re.compile(r"^\S+Z (?P<level>[IWEF]) \d+ \S+\] ")  # as --log-format=ISO8601 writes it
_FAULT = re.compile(r"^(error|sixpoint|Traceback|\w*(Error|Exception))\b|error while loading|Signal \(")
# Triton logs errors about these on every machine without an NVIDIA driver, and works all the same.
_HARMLESS = re.compile(r"CudaDriverHelper|NVML|DCGM|pinned|CUDA driver")
_MAX_LINES, _MAX_WIDTH = 5, 400


def excerpt(log: str) -> str:
    """Return the last errors in a log of Triton, on one line; without errors, the last lines that are not routine."""
    lines = [line.strip() for line in log.splitlines() if line.strip() and not line.startswith(("+", "|"))]
    lines = [line for line in lines if not _HARMLESS.search(line)]
    faults = [line for line in lines if _is_fault(line)]
    others = [line for line in lines if not _is_routine(line)]
    chosen = dict.fromkeys(_PREFIX.sub("", line)[:_MAX_WIDTH] for line in (faults or others))
    return " | ".join(list(chosen)[-_MAX_LINES:]) or "its log shows no error"


def _is_fault(line: str) -> bool:
    prefix = _PREFIX.match(line)
    return prefix["level"] in "EF" if prefix else bool(_FAULT.search(line))


def _is_routine(line: str) -> bool:
    prefix = _PREFIX.match(line)
    return prefix is not None and prefix["level"] == "I"
