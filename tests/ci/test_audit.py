"""The look at known vulnerabilities: what could not be looked up is not called safe."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

conclude = runpy.run_path(str(Path(__file__).parents[2] / ".ci" / "audit.py"))["conclude"]
SAFE: dict[str, Any] = {"name": "numpy", "version": "2.0", "vulns": []}
BAD: dict[str, Any] = {"name": "x", "version": "1.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["1.1"]}]}
UNKNOWN: dict[str, Any] = {"name": "y", "skip_reason": "Dependency not found on PyPI and could not be audited: y (1)"}
OWN: dict[str, Any] = {"name": "sixpoint", "skip_reason": "not on PyPI"}


@pytest.mark.parametrize(
    ("packages", "code", "text"),
    [
        ([SAFE, OWN], 0, "no vulnerability of 2 packages is known"),
        ([SAFE, BAD], 1, "x 1.0: PYSEC-1, mended in 1.1"),
        ([SAFE, UNKNOWN], 2, "NOT KNOWN: 1 of 2 packages were not looked up"),
        ([BAD, UNKNOWN], 1, "NOT KNOWN"),
    ],
)
def test_what_is_concluded(packages: list[dict[str, Any]], code: int, text: str) -> None:
    got, lines = conclude(packages)
    assert got == code
    assert text in "\n".join(lines)
