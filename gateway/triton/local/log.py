"""What to say of a Triton that failed: the lines of its log that a person needs, without the rest."""

from __future__ import annotations

import re

__all__ = ["excerpt"]

_PREFIX = re.compile(r"^\S+Z (?P<level>[IWEF]) \d+ \S+\] ")  # of --log-format=ISO8601
_FAULT = re.compile(r"^(error|sixpoint|Traceback|\w*(Error|Exception))\b|error while loading|Signal \(")
# Triton complains of these on every machine without an NVIDIA driver, and serves all the same.
_HARMLESS = re.compile(r"CudaDriverHelper|NVML|DCGM|pinned|CUDA driver")
_LINES, _WIDTH = 5, 400


def excerpt(log: str) -> str:
    """The last few errors in a log of Triton, on one line; where it names none, the last lines that are no routine."""
    lines = [line.strip() for line in log.splitlines() if line.strip() and not line.startswith(("+", "|"))]
    lines = [line for line in lines if not _HARMLESS.search(line)]
    faults = [line for line in lines if _is_fault(line)]
    others = [line for line in lines if not _is_routine(line)]
    chosen = dict.fromkeys(_PREFIX.sub("", line)[:_WIDTH] for line in (faults or others))
    return " | ".join(list(chosen)[-_LINES:]) or "its log names no error"


def _is_fault(line: str) -> bool:
    prefix = _PREFIX.match(line)
    return prefix["level"] in "EF" if prefix else bool(_FAULT.search(line))


def _is_routine(line: str) -> bool:
    prefix = _PREFIX.match(line)
    return prefix is not None and prefix["level"] == "I"
