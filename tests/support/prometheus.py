"""The real Prometheus, of this machine or from Debian's package, which needs no installation."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

__all__ = ["prometheus_program"]

_SECONDS = 60


def prometheus_program(name: str) -> str:
    """Path of ``prometheus`` or ``promtool``; skips the test where neither the program nor the package is to be had."""
    found = shutil.which(name) or _unpacked(name)
    if not found:
        pytest.skip(f"there is no {name}, and Debian's package of it cannot be downloaded")
    return found


@functools.cache
def _unpacked(name: str) -> str:
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sixpoint-tests" / "prometheus"
    program = folder / "usr" / "bin" / name
    if program.exists():
        return str(program)
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        return ""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        download = ["apt-get", "download", "prometheus"]
        for command in (download, ["apt-get", "update"], download):
            try:
                subprocess.run(command, cwd=scratch, capture_output=True, timeout=_SECONDS, check=False)
            except subprocess.TimeoutExpired:
                return ""
            if packages := list(Path(scratch).glob("prometheus_*.deb")):
                break
        else:
            return ""
        subprocess.run(["dpkg", "-x", packages[0], f"{scratch}/unpacked"], check=True, capture_output=True)
        # Another test process may be as far.
        if not folder.exists():
            Path(scratch, "unpacked").rename(folder)
    return str(program)
